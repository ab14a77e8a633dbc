"""Show the answers of several configurations side by side, and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from hpc.display.blocks import Block, Line, Table, Tone
from hpc.display.run.usage import format_money
from hpc.trial.agreement import Agreement, Measure, Side, label_names
from hpc.trial.attempt import Attempt
from hpc.trial.posts import TrialPosts
from pipeline.messages.options import JSON
from pipeline.model import Answer, LabelValue
from pipeline.terminal import one_line
from pipeline.text import counted, listed

TEXT_WIDTH = 160
VALUE_WIDTH = 40
SHOWN_LABELS = 8


def side_of(attempt: Attempt) -> Side:
    """Return a configuration's labels."""
    return Side(
        title=attempt.candidate.title,
        columns=attempt.columns,
        values={
            uri: answer.values
            for uri, answer in attempt.answers.items()
            if answer.values is not None
        },
    )


def gold_side(posts: TrialPosts) -> Side | None:
    """Return what people said; None without gold labels."""
    gold = posts.gold
    return Side(title=gold.name, columns=gold.columns, values=gold.values) if gold else None


def describe_trial(
    posts: TrialPosts, attempts: Sequence[Attempt], agreements: Sequence[Agreement]
) -> list[Block]:
    """Return a block for each post, then what each configuration cost, and the agreement."""
    blocks: list[Block] = []
    for number, post in enumerate(posts.posts, start=1):
        blocks += [
            Line(f"{number}. {one_line(post.uri, TEXT_WIDTH)}", Tone.FAINT),
            Line(f"   {one_line(post.text, TEXT_WIDTH)}"),
            Table(rows=tuple(_rows(post.uri, posts, attempts)), indent=5),
            Line(""),
        ]
    blocks += _name_more_labels(posts, attempts)
    blocks += [Line(_summary(attempt, len(posts.posts))) for attempt in attempts]
    for attempt in attempts:
        if attempt.error:
            blocks.append(Line(f"{attempt.candidate.title} failed: {attempt.error}", Tone.BAD))
    return [*blocks, *_describe_agreements(agreements)]


def to_json(
    posts: TrialPosts, attempts: Sequence[Attempt], agreements: Sequence[Agreement]
) -> dict[str, Any]:
    """Return all of a trial as JSON."""
    gold = posts.gold
    return {
        "source": posts.origin,
        "gold": gold.name if gold else None,
        "posts": [
            {
                "uri": post.uri,
                "text": post.text,
                "gold": dict(gold.values[post.uri]) if gold else None,
                "answers": {
                    attempt.candidate.title: _answer_json(attempt.answers.get(post.uri))
                    for attempt in attempts
                },
            }
            for post in posts.posts
        ],
        "configurations": [
            {
                "title": attempt.candidate.title,
                "config": str(attempt.candidate.file),
                "answered": len(attempt.answers),
                "labeled": attempt.labeled,
                "seconds": round(attempt.seconds, 3),
                "counts": dict(attempt.counts),
                "cost": attempt.cost,
                "unpriced_posts": attempt.unpriced if attempt.cost is not None else None,
                "currency": attempt.currency,
                "error": attempt.error or None,
            }
            for attempt in attempts
        ],
        "agreements": [asdict(agreement) for agreement in agreements],
        "interrupted": any(attempt.is_interrupted for attempt in attempts),
    }


def _answer_json(answer: Answer | None) -> dict[str, Any] | None:
    if answer is None:
        return None
    labels = None if answer.values is None else dict(answer.values)
    return {"labels": labels, "reason": answer.reason, "facts": dict(answer.facts)}


def _rows(uri: str, posts: TrialPosts, attempts: Sequence[Attempt]) -> Sequence[tuple[str, str]]:
    rows = []
    if posts.gold:
        names = [column.name for column in posts.gold.columns]
        rows.append((posts.gold.name, _labels(posts.gold.values[uri], names)))
    for attempt in attempts:
        rows.append((attempt.candidate.title, _describe_answer(attempt, uri)))
    return rows


def _describe_answer(attempt: Attempt, uri: str) -> str:
    answer = attempt.answers.get(uri)
    if answer is None:
        return "no answer"
    if answer.values is None:
        return f"no labels: {one_line(answer.reason or '', TEXT_WIDTH)}"
    return _labels(answer.values, label_names(attempt.columns))


def _labels(values: Mapping[str, LabelValue], names: Sequence[str]) -> str:
    shown = ", ".join(f"{name} {_value(values.get(name))}" for name in names[:SHOWN_LABELS])
    more = len(names) - SHOWN_LABELS
    return f"{shown}, and {more} more" if more > 0 else shown


def _name_more_labels(posts: TrialPosts, attempts: Sequence[Attempt]) -> list[Block]:
    """Return the labels that the posts above do not show; nothing where they show all."""
    sides = [(attempt.candidate.title, label_names(attempt.columns)) for attempt in attempts]
    if posts.gold:
        sides.insert(0, (posts.gold.name, [column.name for column in posts.gold.columns]))
    return [
        Line(f"{title}: {JSON} also shows {listed(names[SHOWN_LABELS:])}", Tone.FAINT)
        for title, names in sides
        if names[SHOWN_LABELS:]
    ]


def _value(value: LabelValue) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:z.3f}" if isinstance(value, float) else one_line(str(value), VALUE_WIDTH)


def _summary(attempt: Attempt, posts: int) -> str:
    parts = [f"{attempt.labeled} of {counted(posts, 'post')} labeled", f"{attempt.seconds:.1f} s"]
    parts += [f"{name} {count:,}" for name, count in attempt.counts.items()]
    if attempt.cost is not None and attempt.currency:
        without = counted(attempt.unpriced, "post")
        parts.append(
            format_money(attempt.cost, attempt.currency)
            + (f", not counting {without} whose tokens are unknown" if attempt.unpriced else "")
        )
    return f"{attempt.candidate.title}: {', '.join(parts)}"


def _describe_agreements(agreements: Sequence[Agreement]) -> list[Block]:
    if not agreements:
        return []
    rows = tuple((f"{each.a} and {each.b}", each.label, _agreement(each)) for each in agreements)
    return [Line(""), Line("agreement:"), Table(rows=rows)]


def _agreement(agreement: Agreement) -> str:
    of_posts = counted(agreement.posts, "post")
    if agreement.value is None:
        return "no post has a value from both"
    if agreement.measure is Measure.SHARE_EQUAL:
        return f"equal for {agreement.value:.0%} of {of_posts}"
    return f"mean absolute difference {agreement.value:z.3f} on {of_posts}"
