"""Any file of a run or of the database, damaged in any way, under any verbs."""

import random
from pathlib import Path

from hypothesis import given, note
from hypothesis import strategies as st

from tests.attack.attack import LOOKING, NOT_DONE, PREPARING, VERBS, Attack
from tests.attack.damage import DAMAGES, Damage
from tests.attack.examples import ATTACKS, some_attacks
from tests.attack.world import World


def test_the_undamaged_project_is_as_the_rules_expect(world: World) -> None:
    attack = Attack(world)
    codes = {name: attack.verb(name).code for name in (*LOOKING, *PREPARING)}
    assert codes == {name: NOT_DONE.get(name, 0) for name in codes}
    attack.finish()


def test_whoever_looks_at_damaged_files_learns_which_and_nothing_changes(world: World) -> None:
    world.restore()
    found = []
    for place, (_, path) in enumerate(sorted(world.kinds().items())):
        for number, damage in enumerate(DAMAGES):
            if ATTACKS or place % len(DAMAGES) == number:
                found += _problems_of_looking(world, path, damage)
    assert found == [], "\n".join(found)


def _problems_of_looking(world: World, path: Path, damage: Damage) -> list[str]:
    attack = Attack(world)
    damage(path, world, random.Random(1))
    attack.note_damage()
    run = "old" if world.kind(path).startswith("old") else "newer"
    verbs = (f"status {run}", f"logs {run}", "audit", "submit --dry-run")
    return [
        f"{world.kind(path)}: {damage.__name__}: {verb}: {problem}"
        for verb in verbs
        for problem in attack.try_verb(verb)
    ]


@some_attacks
@given(
    place=st.integers(0, 10**6),
    damage=st.sampled_from(DAMAGES),
    verbs=st.lists(st.sampled_from(VERBS), min_size=1, max_size=3, unique=True),
    chance=st.randoms(use_true_random=False),
)
def test_a_damaged_file_loses_nothing_and_costs_nothing(
    world: World, place: int, damage: Damage, verbs: list[str], chance: random.Random
) -> None:
    attack = Attack(world)
    files = world.files()
    path = files[place % len(files)]
    note(f"{world.kind(path)}: {damage.__name__}: {verbs}")
    damage(path, world, chance)
    attack.note_damage()
    for verb in verbs:
        attack.verb(verb)
    attack.check_others()
    attack.undo()
    attack.finish()
