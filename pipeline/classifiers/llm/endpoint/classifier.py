"""Share what the classifiers need that ask a model behind an OpenAI-compatible endpoint."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from pipeline.classifiers.base import Classifier, TaskShare
from pipeline.classifiers.llm.chat_service import ChatService
from pipeline.classifiers.llm.endpoint.options import (
    EndpointOptionsT,
    check_places,
    find_places,
)
from pipeline.classifiers.llm.endpoint.question import Question
from pipeline.classifiers.unlabeled_streak import UnlabeledStreak
from pipeline.config.input_files import InputFiles
from pipeline.config.secret import read_key
from pipeline.service.activity import ServiceActivity
from pipeline.service.address import with_path


class EndpointClassifier(Classifier[EndpointOptionsT]):
    """Talks to the model's server through one `ChatService`."""

    @classmethod
    def refreeze(
        cls, options: EndpointOptionsT, before: EndpointOptionsT, inputs: InputFiles
    ) -> EndpointOptionsT:
        """Find the API key and the quota folder again."""
        return find_places(options, inputs)

    @classmethod
    def check(cls, options: EndpointOptionsT, inputs: InputFiles) -> None:
        """Look for the API key and the quota folder again."""
        check_places(options, inputs)

    @classmethod
    def check_on_node(cls, options: EndpointOptionsT, inputs: InputFiles) -> None:
        """Look for the API key, and for the server that a task starts, with its model."""
        cls.check(options, inputs)
        if options.server is None:
            return
        program = options.server.command[0]
        if shutil.which(program) is None:
            inputs.report("server.command", f"there is no program {program} on PATH")
        model = Path(options.model)
        if model.is_absolute() and not model.exists():
            inputs.report("model", f"there is no {model}")

    @classmethod
    def starts_slowly(cls, options: EndpointOptionsT) -> bool:
        """Tell whether each task starts a server of its own, which takes minutes."""
        return options.server is not None

    @classmethod
    def address(cls, options: EndpointOptionsT, path: str) -> str:
        """Return where requests are sent; only the path, for a server of the task's own."""
        base_url = options.base_url or (options.server.base_path if options.server else "")
        return with_path(base_url, path)

    def __init__(
        self, options: EndpointOptionsT, share: TaskShare, questions: Sequence[Question]
    ) -> None:
        """Read the API key; send nothing yet.

        Args:
            options: the frozen options.
            share: what the task has in common with others.
            questions: what is asked about every post.
        """
        self._options = options
        self._stopping = share.stopping
        self.model = options.model
        self.secret = read_key(options.api_key_env, options.api_key_file)
        self._service = ChatService(options, share, self.secret, questions)
        self._streak = UnlabeledStreak(self._service.prove_labels)

    @property
    def trouble(self) -> str:
        """What is wrong with the service at the moment; '' if nothing is."""
        return self._service.trouble

    @property
    def activity(self) -> ServiceActivity:
        """What was sent lately, and which faults came back."""
        return self._service.activity

    def close(self) -> None:
        """Give the share of the quota back, and end the task's own server."""
        self._service.close()
