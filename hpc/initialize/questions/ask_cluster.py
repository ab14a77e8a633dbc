"""Ask where tasks run, and what they request from Slurm."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hpc.executors.slurm.survey.facts import ClusterSurvey, PartitionFacts
from hpc.executors.slurm.survey.read_survey import survey_cluster
from hpc.initialize.given import Given
from hpc.initialize.propose_resources import (
    NEEDS,
    OTHER_NEEDS,
    Choice,
    Needs,
    describe_partition,
    describe_unknown,
    propose_account,
    propose_cpus,
    propose_gres,
    propose_memory,
    propose_partition,
    propose_qos,
    propose_time,
    qos_choices,
    usable_partitions,
)
from hpc.initialize.propose_setup import propose_setup
from hpc.initialize.questions import checks
from hpc.initialize.questions.question import Answerer, InvalidAnswer, Option, Question
from hpc.initialize.site import Site
from hpc.run.cluster.resources import ExecutorName
from hpc.run.model.run import Say
from pipeline.text import did_you_mean

_MEGABYTES = 1024


def ask_executor(answerer: Answerer, given: Given, site: Site) -> ExecutorName | None:
    """Return where tasks run; None if an answer is missing."""
    names = [str(name) for name in ExecutorName]

    def check(answer: str) -> str:
        if answer not in names:
            raise InvalidAnswer(f"should be slurm or local, not {answer!r}")
        return answer

    default = ExecutorName.SLURM if site.has_slurm else ExecutorName.LOCAL
    question = Question(
        flag="--executor",
        text="Where do the tasks run?",
        missing="slurm or local",
        default=str(default),
        why="sbatch is on this machine" if site.has_slurm else "there is no sbatch on this machine",
        options=(
            Option(value=str(ExecutorName.SLURM), note="as job arrays of a Slurm cluster"),
            Option(value=str(ExecutorName.LOCAL), note="on this machine"),
        ),
        check=check,
    )
    answer = answerer.ask(question, given.executor)
    return None if answer is None else ExecutorName(answer)


def ask_resources(
    answerer: Answerer, given: Given, site: Site, kind: str, say: Say
) -> Mapping[str, object] | None:
    """Return the keys of the template; None if an answer is missing.

    Args:
        answerer: answers.
        given: the options.
        site: what the shell says.
        kind: the classifier, which decides what a task needs.
        say: prints what Slurm does not say.
    """
    survey = survey_cluster(_named_by_shell(site))
    cluster = _ask_cluster_name(answerer, given, survey)
    if cluster and cluster != survey.name:
        survey = survey_cluster(cluster)
    say(_describe_survey(survey))
    return _Resources(answerer, given, site, survey, NEEDS.get(kind, OTHER_NEEDS)).ask(cluster)


def _both(reason: str, note: str) -> str:
    return f"{reason}; {note}" if note else reason


def _with_note(proposed: Choice | None, note: str) -> Choice | None:
    """Return a proposal that also says why it is not what the shell names."""
    if proposed is None or not note:
        return proposed
    return Choice(value=proposed.value, why=_both(proposed.why, note))


def _named_by_shell(site: Site) -> str | None:
    clusters = site.jobs.clusters
    return clusters if clusters and "," not in clusters else None


def _describe_survey(survey: ClusterSurvey) -> str:
    name = f"cluster {survey.name}" if survey.name else "Slurm"
    if survey.problem:
        return (
            f"{name} does not answer ({survey.problem}): the partition and the limits are "
            "Slurm's defaults, unless you name them"
        )
    shown = [each for each in survey.partitions if not each.is_hidden]
    names = ", ".join(each.name for each in shown[:10])
    accounts = ", ".join(survey.accounts()) or "none"
    if survey.accounting_problem:
        accounts = f"not known ({survey.accounting_problem})"
    return f"{name}: partitions {names}; your accounts: {accounts}"


def _ask_cluster_name(answerer: Answerer, given: Given, survey: ClusterSurvey) -> str | None:
    """Return the cluster to write down; None to leave it to the machine."""
    if len(survey.clusters) < 2 and given.cluster_name is None:
        return None
    default = survey.name if survey.name in survey.clusters else None

    def check(answer: str) -> str:
        if survey.clusters and answer not in survey.clusters:
            raise InvalidAnswer(
                f"{answer!r} is no cluster on which you have an account"
                f"{did_you_mean(answer, survey.clusters)}; these are {', '.join(survey.clusters)}"
            )
        return answer

    question = Question(
        flag="--cluster-name",
        text="Which cluster runs the tasks?",
        missing="the name of a cluster",
        unproposed="you have accounts on several clusters",
        default=default,
        why="it is the cluster of this machine" if default else "",
        options=tuple(Option(value=name) for name in survey.clusters),
        check=check,
    )
    return answerer.ask(question, given.cluster_name)


@dataclass(frozen=True, slots=True)
class _Resources:
    """Asks what a task requests, each answer narrowing the next question."""

    answerer: Answerer
    given: Given
    site: Site
    survey: ClusterSurvey
    needs: Needs

    def ask(self, cluster: str | None) -> Mapping[str, object] | None:
        account = self._account()
        name = self._partition(account or None)
        partition = next((each for each in self.survey.partitions if each.name == name), None)
        qos = self._qos(account or None, partition)
        gres = self._gres(partition)
        time = self._time(partition)
        mem_gb = self._memory(partition)
        setup = self._setup()
        if None in (account, name, qos, gres, time, mem_gb) or setup is None:
            return None
        texts = {
            "cluster_name": cluster,
            "account": account,
            "partition": name,
            "qos": qos,
            "gres": gres,
            "time": time,
        }
        return {
            **{key: value for key, value in texts.items() if value},
            "cpus": propose_cpus(partition, self.needs),
            "mem_gb": float(mem_gb or 0),
            **({"setup": setup} if setup else {}),
        }

    def _account(self) -> str | None:
        accounts = self.survey.accounts()
        named = self.site.jobs.account
        unknown = describe_unknown("none of your accounts", named, "SBATCH_ACCOUNT", accounts)
        proposed = propose_account(self.survey, named)

        def check(answer: str) -> str:
            if accounts and answer.lower() not in accounts:
                raise InvalidAnswer(
                    f"{answer!r} is not one of your accounts on this cluster"
                    f"{did_you_mean(answer, accounts)}; you have {', '.join(accounts)}"
                )
            return checks.one_word(answer)

        return self._ask(
            Question(
                flag="--account",
                text="Which account pays?",
                missing="an account",
                unproposed=_both("you have several accounts, and none is your default", unknown),
                options=tuple(Option(value=name) for name in accounts),
                check=check,
                may_be_empty=not accounts,
            ),
            self.given.account,
            _with_note(proposed, unknown),
        )

    def _partition(self, account: str | None) -> str | None:
        usable = usable_partitions(self.survey, account)
        names = [each.name for each in self.survey.partitions]
        # It may name several, such as `short,long`.
        wanted = (self.site.jobs.partition or "").split(",")
        problems = (
            describe_unknown("no partition", each, "SBATCH_PARTITION", names) for each in wanted
        )
        unknown = next(filter(None, problems), "")
        proposed = propose_partition(
            usable, self.needs, None if unknown else self.site.jobs.partition
        )
        if proposed is None and not names:
            proposed = Choice(value="", why="Slurm's default")

        def check(answer: str) -> str:
            wrong = [name for name in answer.split(",") if names and name not in names]
            if wrong:
                raise InvalidAnswer(
                    f"{wrong[0]!r} is not a partition of this cluster"
                    f"{did_you_mean(wrong[0], names)}; sinfo shows {', '.join(names)}"
                )
            return checks.one_word(answer)

        return self._ask(
            Question(
                flag="--partition",
                text="Which partition runs the tasks?",
                missing="a partition",
                unproposed=_both("no partition is up that your account may use", unknown),
                options=tuple(Option(value=each.name, note=_describe(each)) for each in usable),
                check=check,
                may_be_empty=not names or any(each.is_default for each in usable),
            ),
            self.given.partition,
            _with_note(proposed, unknown),
        )

    def _qos(self, account: str | None, partition: PartitionFacts | None) -> str | None:
        choices = qos_choices(self.survey, account, partition)
        proposed = propose_qos(self.survey, account, partition)
        named = self.site.jobs.qos
        known = choices if self.survey.checks_qos else ()
        unknown = describe_unknown("not available to you", named, "SBATCH_QOS", known)
        if named and not unknown:
            proposed = Choice(value=named, why="your shell names it in SBATCH_QOS")
        is_usual = proposed is not None and not proposed.value
        if self.given.qos is None and is_usual and not unknown:
            return ""  # most sites ask for none

        def check(answer: str) -> str:
            if choices and self.survey.checks_qos and answer not in choices:
                raise InvalidAnswer(f"{answer!r} is not available to you: {', '.join(choices)}")
            return checks.one_word(answer)

        return self._ask(
            Question(
                flag="--qos",
                text="Which quality of service (QOS)?",
                missing="a QOS",
                unproposed=_both("you may use several QOS, and none is your default", unknown),
                options=tuple(Option(value=name) for name in choices),
                check=check,
                may_be_empty=True,
            ),
            self.given.qos,
            _with_note(proposed, unknown),
        )

    def _gres(self, partition: PartitionFacts | None) -> str | None:
        proposed = propose_gres(partition, self.needs)
        if self.given.gres is None and not proposed.value:
            return ""
        return self._ask(
            Question(
                flag="--gres",
                text="Which generic resources does a task need? Write them as for sbatch --gres.",
                missing="generic resources, such as gpu:1",
                check=checks.one_word,
                may_be_empty=True,
            ),
            self.given.gres,
            proposed,
        )

    def _time(self, partition: PartitionFacts | None) -> str | None:
        longest = partition.time_min if partition else None
        return self._ask(
            Question(
                flag="--time",
                text="How long may one task run? Write the time as Slurm does, such as 4:00:00.",
                missing="the time limit",
                check=lambda answer: checks.time_limit(answer, longest),
            ),
            self.given.time,
            propose_time(partition, self.needs),
        )

    def _memory(self, partition: PartitionFacts | None) -> str | None:
        largest = partition.memory_mb / _MEGABYTES if partition else 0.0
        return self._ask(
            Question(
                flag="--mem-gb",
                text="How much memory does one task need, in GiB?",
                missing="the memory of a task",
                check=lambda answer: checks.memory(answer, largest),
            ),
            self.given.mem_gb,
            propose_memory(partition, self.needs),
        )

    def _setup(self) -> tuple[str, ...] | None:
        """Return the lines that run before a task; a person accepts or refuses all of them."""
        if self.given.setup is not None:
            return self.given.setup
        proposed = propose_setup(self.site)
        if not proposed:
            return ()
        answer = self._ask(
            Question(
                flag="--setup",
                text="These lines load your environment on a node. Use them?",
                missing="yes or no",
                default="yes",
                why="this shell uses them",
                options=tuple(Option(value=line) for line in proposed),
                check=lambda answer: _yes_or_no(answer, proposed),
            ),
            None,
        )
        return None if answer is None else proposed if answer == "yes" else ()

    def _ask(
        self, question: Question, given: str | None, proposed: Choice | None = None
    ) -> str | None:
        if proposed is not None:
            question = replace(question, default=proposed.value, why=proposed.why)
        return self.answerer.ask(question, given)


def _describe(partition: PartitionFacts) -> str:
    gpus = f", {', '.join(partition.gpus)}" if partition.gpus else ""
    default = ", Slurm's default" if partition.is_default else ""
    return describe_partition(partition) + gpus + default


def _yes_or_no(answer: str, lines: Sequence[str]) -> str:
    """Return `yes` or `no`; the line itself, chosen by its number, is neither."""
    word = answer.lower()
    if answer not in lines and word in ("yes", "y", "no", "n"):
        return "yes" if word.startswith("y") else "no"
    raise InvalidAnswer("should be yes or no; other lines can be added to the file later")
