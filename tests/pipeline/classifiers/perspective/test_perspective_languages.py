"""Attributes that do not support the post's language: null and listed, the others are kept."""

import json
import threading
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.classifiers.base import TaskShare
from pipeline.classifiers.perspective.classifier import Perspective
from pipeline.classifiers.perspective.columns import ATTRIBUTES
from pipeline.classifiers.perspective.languages import SupportedAttributes
from pipeline.classifiers.perspective.reply import RejectedRequest, parse_rejection
from pipeline.errors import Cause, TaskError
from pipeline.model import Answer
from tests.pipeline.classifiers.classifier_setup import KEY, answers, options_of, posts
from tests.servers.perspective import Fault, PerspectiveServer, score
from tests.servers.perspective_answers import PRODUCTION, ServiceError, detect_language

DROPPED = "attributes_not_supported"
THREE = ["TOXICITY", "SPAM", "RESPECT_EXPERIMENTAL"]


def classifier(server: PerspectiveServer, **values: Any) -> Perspective:
    given_values = {
        "base_url": server.url,
        "requests_per_minute": 10**9,
        "attributes": THREE,
        "max_in_flight": 1,
        **values,
    }
    return Perspective(options_of("perspective", given_values), TaskShare())


def row(answer: Answer) -> tuple[Any, ...]:
    return answer.values and dict(answer.values), answer.reason, answer.facts[DROPPED]


def test_an_unsupported_attribute_is_null_and_listed_and_the_others_are_scored() -> None:
    with PerspectiveServer(key=KEY) as server:
        found = answers(classifier(server, languages=["de"]), posts("ein schöner Tag"))
    toxicity = score("ein schöner Tag", "TOXICITY")
    values = {"prob_toxic": toxicity, "prob_spam": None, "prob_respect": None}
    assert {text: row(answer) for text, answer in found.items()} == {
        "ein schöner Tag": (values, None, "SPAM,RESPECT_EXPERIMENTAL")
    }
    assert (server.requests, server.paid, server.by_status) == (3, 1, {400: 2, 200: 1})


def test_nothing_is_listed_if_all_attributes_support_the_language() -> None:
    with PerspectiveServer(key=KEY) as server:
        found = answers(classifier(server), posts("a post", " "))
    assert [answer.facts for answer in found.values()] == [{DROPPED: None}, {DROPPED: None}]
    assert server.requests == 2


def test_unsupported_attributes_are_rejected_once_per_task() -> None:
    texts = [f"Beitrag {number}" for number in range(9)]
    with PerspectiveServer(key=KEY) as server:
        asker = classifier(server, attributes=list(ATTRIBUTES), languages=["de"])
        found = answers(asker, posts(*texts))
        more = answers(asker, posts("noch einer"))
    lacking = [name for name in ATTRIBUTES if name not in PRODUCTION]
    for text, answer in {**found, **more}.items():
        values = {ATTRIBUTES[name]: score(text, name) for name in ATTRIBUTES if name in PRODUCTION}
        values |= {ATTRIBUTES[name]: None for name in lacking}
        assert row(answer) == (values, None, ",".join(lacking))
    assert server.by_status == {200: 10, 400: len(lacking)}


def test_a_post_in_flight_is_sent_at_most_once_more_per_unsupported_attribute() -> None:
    together = threading.Barrier(20, timeout=30)

    def happens(text: str, nth: int) -> Fault | None:
        if nth == 1:
            together.wait()
        return None

    texts = [f"Beitrag {number}" for number in range(20)]
    with PerspectiveServer(key=KEY, faults=happens) as server:
        asker = classifier(server, languages=["de"], max_in_flight=20)
        found = answers(asker, posts(*texts))
    assert {answer.facts[DROPPED] for answer in found.values()} == {"SPAM,RESPECT_EXPERIMENTAL"}
    assert server.by_status[200] == 20
    assert 20 < server.by_status[400] <= 40


def test_a_post_without_a_label_still_lists_unsupported_attributes() -> None:
    def happens(text: str, nth: int) -> Fault | None:
        return Fault(status=500) if text == "odd" and nth > 1 else None

    with PerspectiveServer(key=KEY, faults=happens, unsupported=[("SPAM", "en")]) as server:
        found = answers(classifier(server), posts("odd"))
    assert row(found["odd"]) == (None, "http_500", "SPAM")


def test_the_probe_requests_only_supported_attributes() -> None:
    """Otherwise a post's own 500 could not be distinguished from an outage."""

    def happens(text: str, nth: int) -> Fault | None:
        return Fault(status=500) if text == "odd" and nth > 2 else None

    with PerspectiveServer(key=KEY, faults=happens) as server:
        found = answers(classifier(server, languages=["de"]), posts("odd", "gut"))
    assert row(found["odd"]) == (None, "http_500", "SPAM,RESPECT_EXPERIMENTAL")
    assert found["gut"].values is not None
    assert server.paid_by_text == {"The sun is out today.": 1, "gut": 1}


def test_the_probe_requests_what_the_post_requested() -> None:
    """A replacement that names no languages says nothing about the next post."""

    def happens(text: str, nth: int) -> Fault | None:
        if text != "odd":
            return None
        return refused("SPAM", "") if nth == 1 else Fault(status=400)

    with PerspectiveServer(key=KEY, faults=happens) as server:
        found = answers(classifier(server), posts("odd"))
    assert row(found["odd"]) == (None, "http_400", "SPAM")
    assert server.last_request
    probe = json.loads(server.last_request.body)
    assert list(probe["requestedAttributes"]) == ["TOXICITY", "RESPECT_EXPERIMENTAL"]


def test_a_language_that_no_attribute_supports_ends_the_run_at_once() -> None:
    """Otherwise 50 million posts would be done without a label."""
    texts = [f"ghItlh {number}" for number in range(5)]
    with PerspectiveServer(key=KEY) as server, pytest.raises(TaskError) as raised:
        answers(classifier(server, languages=["tlh"]), posts(*texts))
    assert raised.value.cause is Cause.REFUSED
    assert str(raised.value) == (
        f"{server.url}/v1alpha1/comments:analyze has none of classifier.attributes in tlh: change "
        "them, or classifier.languages"
    )
    assert server.requests == 3


def test_a_rejection_for_a_detected_language_holds_for_that_post_only() -> None:
    """No attribute supports the stand-in's detected languages; each is rejected by itself."""
    texts = [f"post {number}" for number in range(30)]
    with PerspectiveServer(key=KEY) as server:
        found = answers(classifier(server, languages=[]), posts(*texts))
    assert {row(answer) for answer in found.values()} == {
        (None, "language_not_supported_by_attribute", ",".join(THREE))
    }
    languages = Counter(map(detect_language, texts))
    assert len(languages) == 3
    # After 20 posts without scores, the fixed sentence; its language proves nothing about others.
    assert server.requests == len(texts) + 2 * len(languages) + 1


def refused(attribute: Any, languages: str = "en", *, detail: Any = None) -> Fault:
    """Return the service's rejection, with `detail` instead of its own."""
    message = f"Attribute {attribute} does not support request languages: {languages}"
    detail = detail or {"attribute": attribute, "detectedLanguages": ["en"]}
    kind = "LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE"
    details = {"errorType": kind, "languageNotSupportedByAttributeError": detail}
    return Fault(status=400, body=ServiceError(400, message, {"@type": "t"}, details).reply.body)


@pytest.mark.parametrize(
    "fault",
    [refused("SPAM", "th"), refused("SPAM", "en, th"), refused("SPAM", ""), refused("SPAM", "??")],
)
def test_a_rejection_for_another_language_holds_for_that_post_only(
    fault: Fault,
) -> None:
    def happens(text: str, nth: int) -> Fault | None:
        return fault if text == "odd" and nth == 1 else None

    with PerspectiveServer(key=KEY, faults=happens) as server:
        found = answers(classifier(server), posts("odd", "fine"))
    assert [found[text].facts[DROPPED] for text in ("odd", "fine")] == ["SPAM", None]
    assert server.requests == 3


def test_the_attribute_is_read_from_the_message_if_there_is_no_detail() -> None:
    """As the service did in 2019 (atom/biohazard-alert#11), except for the error type."""

    def happens(text: str, nth: int) -> Fault | None:
        return refused("SPAM", detail={"unknown": 1}) if nth == 1 else None

    with PerspectiveServer(key=KEY, faults=happens) as server:
        found = answers(classifier(server), posts("odd"))
    assert found["odd"].facts[DROPPED] == "SPAM"


@pytest.mark.parametrize("attribute", ["INSULT", "", "spam", None, 7, ["SPAM"]])
def test_a_rejected_attribute_that_was_not_requested_ends_the_retries(attribute: Any) -> None:
    fault = refused(attribute)
    with PerspectiveServer(key=KEY, faults=lambda t, _: fault if t == "odd" else None) as server:
        found = answers(classifier(server), posts("odd"))
    reason = "language_not_supported_by_attribute: the service does not say which"
    assert row(found["odd"]) == (None, reason, None)
    assert server.requests == 2


def test_a_service_that_rejects_the_same_attribute_again_ends_the_retries() -> None:
    with PerspectiveServer(
        key=KEY, faults=lambda t, _: refused("SPAM") if t == "odd" else None
    ) as server:
        found = answers(classifier(server), posts("odd"))
    reason = "language_not_supported_by_attribute: the service does not say which"
    assert row(found["odd"]) == (None, reason, "SPAM")
    assert server.requests == 3


names = st.lists(st.sampled_from(THREE), unique=True, min_size=1)
languages = st.frozensets(st.sampled_from(["en", "de", "th"]), max_size=2)
refusals = st.builds(
    RejectedRequest,
    error_type=st.just(""),
    about_key=st.just(False),
    attribute=st.sampled_from([*THREE, "", "OTHER"]),
    languages=languages,
)


@given(names, languages, st.lists(refusals))
def test_attributes_rejected_for_the_same_languages_are_not_requested(
    attributes: list[str], configured: frozenset[str], told: list[RejectedRequest]
) -> None:
    support = SupportedAttributes(attributes, sorted(configured))
    for one in told:
        left = support.after(one, attributes)
        assert one.attribute not in left
        lost = {o.attribute for o in told if o.languages == one.languages} | {one.attribute}
        assert set(attributes) - lost <= set(left)
    refused_for_it = {o.attribute for o in told if configured and o.languages == configured}
    assert support.to_request() == [name for name in attributes if name not in refused_for_it]


@pytest.mark.parametrize(
    ("said", "understood"),
    [
        ("Attribute SPAM does not support request languages: en", {"en"}),
        ("Attribute SPAM does not support request languages: en, zh-Hant", {"en", "zh-Hant"}),
        ("Attribute SPAM does not support request languages: ja-Latn", {"ja-Latn"}),
        ("Attribute SPAM does not support request languages: ", set()),
        ("Something else: en", set()),
    ],
)
def test_the_languages_are_read_from_the_services_message(said: str, understood: set[str]) -> None:
    assert parse_rejection({"error": {"message": said}}).languages == understood
