"""Whether a canary went well: a decision about money, so every case is decided."""

from hypothesis import given
from hypothesis import strategies as st

from hpc.planning.measured.canary import LEAST_LABELED_SHARE, CanaryOutcome, judge_canary
from hpc.run.run_state import RunState

counts = st.integers(0, 10_000)


@given(st.sampled_from(list(RunState)), counts, counts)
def test_the_others_follow_only_a_complete_canary_with_enough_labels(
    state: RunState, sent: int, labeled: int
) -> None:
    labeled = min(sent, labeled)
    outcome = judge_canary(state, sent=sent, labeled=labeled)
    is_good = state is RunState.COMPLETE and sent > 0 and labeled >= LEAST_LABELED_SHARE * sent
    assert (outcome is CanaryOutcome.WELL) is is_good


@given(st.sampled_from(list(RunState)), counts, counts)
def test_a_further_label_never_makes_it_worse(state: RunState, sent: int, labeled: int) -> None:
    labeled = min(labeled, sent)
    if judge_canary(state, sent=sent, labeled=labeled) is CanaryOutcome.WELL and labeled < sent:
        assert judge_canary(state, sent=sent, labeled=labeled + 1) is CanaryOutcome.WELL


@given(counts)
def test_no_label_at_all_is_never_well(sent: int) -> None:
    assert judge_canary(RunState.COMPLETE, sent=sent, labeled=0) is not CanaryOutcome.WELL
