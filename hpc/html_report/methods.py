"""Write the methods paragraph: what labeled what, ready to paste into a paper. Pure."""

from collections.abc import Iterator, Mapping

from hpc.html_report.facts import LabelingSetup, SampleFacts, SubjectFacts
from hpc.html_report.wording import format_day, format_days, odd_times
from pipeline.run_files.sample_file import CODING
from pipeline.text import counted, listed

_PROGRAM = "hpc-batch-classification"
# What a classifier of each type is, for the first sentence.
KINDS: Mapping[str, str] = {
    "external": "another engine",
    "perspective": "the Perspective API or a compatible service",
    "llm": "a large language model",
    "guard": "a guard model",
    "moderation": "a moderation endpoint",
    "transformers": "a sequence classification model",
    "valence": "VADER, a lexicon for sentiment",
}
# The options that a reader looks for, with the words for them.
_SETTINGS = {
    "revision": "revision {}",
    "temperature": "temperature {}",
    "structured_output": "structured output {}",
    "max_tokens": "at most {} tokens for an answer",
    "posts_per_prompt": "{} posts in a prompt",
    "answer_tries": "up to {} requests for a post until the answer was valid",
    "dtype": "numbers in {}",
    "max_length": "at most {} tokens of a post",
    "languages": "language {}",
    "attributes": "attribute {}",
}
_MOST_REASONS = 6
_DIGITS_OF_DIGEST = 16


def describe_methods(facts: SubjectFacts) -> str:
    """Return the paragraph."""
    return " ".join(_sentences(facts))


def _sentences(facts: SubjectFacts) -> Iterator[str]:
    counts = facts.counts
    if facts.is_coded_by_people:
        yield f"People coded {counted(counts.labeled, 'post')}{_of_people(facts)}."
    elif not counts.posts:
        yield "No post has a label yet."
    else:
        yield f"We labeled {counted(counts.labeled, 'post')} with {_models(facts)}{_times(facts)}."
        yield from _engines(facts)
        yield from _settings(facts)
    yield from _posts(facts)
    yield from _sample(facts.sample)
    yield from _without_label(facts)
    yield from _copies(facts)
    yield from _program(facts)
    yield from _corrections(facts)
    if facts.missing:
        yield (
            f"{counted(facts.missing, 'post')} of these runs had no result yet, and these are no "
            "random part of the posts."
        )


def _copies(facts: SubjectFacts) -> Iterator[str]:
    if not facts.counts.copied:
        return
    several = len(facts.runs) > 1
    yield (
        f"Posts with the same text {'in one run ' if several else ''}share one answer: "
        f"{counted(facts.counts.copied, 'label')} "
        f"{'was' if facts.counts.copied == 1 else 'were'} copied in this way."
    )
    if several:
        yield (
            f"The labels are from {len(facts.runs):,} runs, each of which asked about a text "
            "again, so the same text may have different labels."
        )


def _models(facts: SubjectFacts) -> str:
    kinds = [KINDS.get(setup.kind, f"the classifier {setup.kind}") for setup in facts.setups]
    models = [model for model, _ in facts.counts.models]
    kind = listed(list(dict.fromkeys(kinds)))
    if not kind or not models:
        return kind or listed(models) or "an unknown classifier"
    return f"{kind} ({', '.join(models)})"


def _times(facts: SubjectFacts) -> str:
    return f", {format_days(facts.counts.first_label, facts.counts.last_label)} (UTC)"


def _engines(facts: SubjectFacts) -> Iterator[str]:
    engines = list(dict.fromkeys(each.engine for each in facts.adoptions if each.engine))
    if engines:
        yield f"The posts were handed over to {listed(engines)}."


def _of_people(facts: SubjectFacts) -> str:
    coders = [setup.options["coders"] for setup in facts.setups if "coders" in setup.options]
    return f" ({', '.join(coders)})" if coders else ""


def _settings(facts: SubjectFacts) -> Iterator[str]:
    several = len(facts.setups) > 1
    for setup in facts.setups:
        parts = [
            _setting(words, setup.options[name])
            for name, words in _SETTINGS.items()
            if name in setup.options
        ]
        parts += [
            f"{name} with SHA-256 {text.sha256[:_DIGITS_OF_DIGEST]}…"
            for name, text in setup.texts.items()
        ]
        if parts:
            which = f"Setup {setup.config_hash}" if several else "Settings"
            yield f"{which}: {', '.join(parts)}."


def _setting(words: str, value: str) -> str:
    """Return a setting in words, in the plural for a list."""
    if ", " in value and words.split(" ")[0] in ("language", "attribute"):
        words = words.replace(" {}", "s {}")
    return words.format(value)


def _posts(facts: SubjectFacts) -> Iterator[str]:
    counts = facts.counts
    if counts.first_post and counts.last_post:
        yield f"The posts are from {_span(facts)}."
    if odd := odd_times(counts):
        yield odd


def _span(facts: SubjectFacts) -> str:
    first, last = format_day(facts.counts.first_post), format_day(facts.counts.last_post)
    return first if first == last else f"{first} to {last}"


def _sample(sample: SampleFacts | None) -> Iterator[str]:
    if sample is None:
        return
    drawn = sample.description
    if drawn is None:
        yield f"The posts are from the sample {sample.name}."
        return
    what = "texts" if drawn.kind == CODING else "posts"
    strata = ""
    if drawn.stratify:
        allocation = f", {drawn.allocation} allocation" if drawn.allocation else ""
        strata = (
            f", drawn within {counted(len(drawn.strata), 'stratum', 'strata')} by {drawn.stratify}"
        )
        strata += allocation
    yield (
        f"They are a random sample of {drawn.size:,} out of {drawn.population:,} {what}{strata} "
        f"(seed {drawn.seed})."
    )
    if sample.is_weighted:
        yield "Means and shares are weighted by the inverse inclusion probabilities."


def _without_label(facts: SubjectFacts) -> Iterator[str]:
    counts = facts.counts
    without = counts.posts - counts.labeled
    if not without:
        return
    shown = counts.reasons[:_MOST_REASONS]
    reasons = [f"{reason} ({count:,})" for reason, count in shown]
    rest = sum(count for _, count in counts.reasons[_MOST_REASONS:])
    if rest:
        reasons.append(f"other reasons ({rest:,})")
    yield f"{counted(without, 'post')} could not be labeled: {listed(reasons)}."


def _program(facts: SubjectFacts) -> Iterator[str]:
    versions = list(dict.fromkeys(run.version for run in facts.runs))
    if versions:
        noun = "version" if len(versions) == 1 else "versions"
        yield f"Program: {_PROGRAM}, {noun} {listed(versions)}."


def _corrections(facts: SubjectFacts) -> Iterator[str]:
    corrected = sorted({key for run in facts.runs for key in run.corrections})
    if corrected:
        yield (
            f"While the runs were under way, {listed(corrected)} "
            f"{'was' if len(corrected) == 1 else 'were'} corrected, which changes no label."
        )


def setup_title(setup: LabelingSetup, *, several: bool) -> str:
    """Return a heading for a setup."""
    return (
        f"Options that decide labels ({setup.config_hash})"
        if several
        else ("Options that decide labels")
    )
