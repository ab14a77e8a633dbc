"""Retries within milliseconds, as in the tests of the LLM classifier."""

from tests.pipeline.classifiers.llm.conftest import llm_key, quick_retries

__all__ = ["llm_key", "quick_retries"]
