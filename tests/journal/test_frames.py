"""A record and its bytes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from estimator.usage import Usage
from proxy.call import Closed, Lost, Opened
from proxy.journal import frame
from proxy.tail import parse

texts = st.text(max_size=40)


counts = st.integers(0, 2**63 - 1)


maybe_count = st.none() | counts


usages = st.builds(
    Usage,
    **dict.fromkeys(
        (name for name in Usage.__dataclass_fields__ if name != "units"),
        maybe_count,
    ),
    units=st.dictionaries(texts, st.floats(allow_nan=False), max_size=3),
)


openings = st.builds(
    Opened,
    id=texts,
    operation_id=texts,
    attempt=st.integers(1, 9),
    started_at_us=counts,
    team=st.none() | texts,
    project=st.none() | texts,
    user=st.none() | texts,
    key_id=st.none() | texts,
    tags=st.dictionaries(texts, texts, max_size=3),
    provider=st.none() | texts,
    surface=texts,
    model_requested=st.none() | texts,
    stream=st.booleans(),
    request_bytes=maybe_count,
    zone=st.none() | texts,
)


ends = st.builds(
    Closed,
    opened=openings,
    ended_at_us=counts,
    outcome=st.sampled_from(["ok", "error", "aborted", "interrupted", "rejected"]),
    status=st.none() | st.integers(100, 599),
    model=st.none() | texts,
    provider_request_id=st.none() | texts,
    usage=st.none() | usages,
    usage_source=st.sampled_from(["reported", "counted", "inferred", "absent"]),
    flags=st.lists(texts, max_size=3).map(tuple),
    reason=st.none() | texts,
    latency_us=counts,
    time_to_first_token_us=maybe_count,
    overhead_us=maybe_count,
    response_bytes=counts,
    service_tier=st.none() | texts,
    region=st.none() | texts,
)


losses = st.builds(Lost, at_us=counts, calls=counts, ids=st.lists(texts, max_size=3).map(tuple))


@given(openings | ends | losses)
def test_a_record_comes_back_from_its_frame_as_it_was(record):
    framed = frame(record)
    assert parse(framed) == (record, len(framed))
    assert parse(framed[:-1]) == "incomplete"
