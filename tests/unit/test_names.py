"""Derived names: short enough, allowed by DNS, always the same and never shared."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubeopencode import names

SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
LABEL = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
SERVICE = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
CONFIG_MAP_KEY = re.compile(r"[-._a-zA-Z0-9]+")

OF_A_TASK: tuple[Callable[[str], str], ...] = (names.pod, names.context)
OF_AN_AGENT: tuple[Callable[[str], str], ...] = (
    names.server,
    names.server_context,
    names.server_password,
    lambda agent: names.server_volume(agent, "sessions"),
    lambda agent: names.server_volume(agent, "workspace"),
)

object_names = st.from_regex(r"[a-z0-9](-{0,3}[a-z0-9]){0,4}(\.[a-z0-9]{1,3}){0,3}", fullmatch=True)
long_names = st.builds(
    lambda name, times: (name * times)[: names.MAX_NAME].strip("-."),
    st.from_regex(r"[a-z0-9][-a-z0-9]{0,20}[a-z0-9]", fullmatch=True),
    st.integers(min_value=1, max_value=20),
)
paths = st.from_regex(r"(/[A-Za-z0-9._@%+=:, -]{1,8}){1,6}", fullmatch=True)


@settings(max_examples=40, deadline=None)
@given(st.one_of(object_names, long_names))
def test_a_derived_name_is_one_that_kubernetes_takes(name: str):
    for derive in (*OF_A_TASK, *OF_AN_AGENT):
        derived = derive(name)
        assert len(derived) <= names.MAX_NAME
        assert SUBDOMAIN.fullmatch(derived), derived
    assert len(names.server(name)) <= names.MAX_LABEL, "Pods carry the Deployment's name in a label"


@settings(max_examples=40, deadline=None)
@given(st.one_of(object_names, long_names))
def test_a_label_value_is_one_that_kubernetes_takes(name: str):
    assert len(names.label(name)) <= names.MAX_LABEL
    assert LABEL.fullmatch(names.label(name))


@settings(max_examples=40, deadline=None)
@given(st.one_of(object_names, long_names))
def test_a_service_has_a_name_that_dns_resolves(name: str):
    assert len(names.service(name)) <= names.MAX_LABEL
    assert SERVICE.fullmatch(names.service(name))


def test_short_names_are_those_of_the_documents():
    assert names.pod("fix-bug") == "fix-bug-pod"
    assert names.context("fix-bug") == "fix-bug-context"
    assert names.foreign_pod("dev", "fix-bug") != names.pod("fix-bug")
    assert names.server("team-agent") == "team-agent-server"
    assert names.service("team-agent") == "team-agent"
    assert names.server_context("team-agent") == "team-agent-server-context"
    assert names.server_volume("team-agent", "sessions") == "team-agent-server-sessions"
    assert names.server_volume("team-agent", "workspace") == "team-agent-server-workspace"
    assert names.session_title("ns", "fix-bug", "0123456789ab") == "kubeopencode/ns/fix-bug/01234567"


def test_a_name_is_the_same_in_every_process():
    # Written out, because a hash that changes between processes or releases would orphan objects.
    assert names.digest("x") == "2d711642"
    assert names.pod("a" * 253) == "a" * 244 + "-" + names.digest("a" * 253 + "-pod")
    assert names.service("9-lives") == "a-9-lives-" + names.digest("9-lives")


@settings(max_examples=40, deadline=None)
@given(st.lists(long_names, min_size=2, max_size=8, unique=True))
def test_long_names_that_differ_only_at_their_ends_stay_apart(some: list[str]):
    stem = "x" * 250
    for derive in (*OF_A_TASK, *OF_AN_AGENT, names.label):
        derived = [derive(f"{stem}-{name}") for name in some]
        assert len(set(derived)) == len(some)


def test_names_are_not_cut_in_front_of_a_dash_or_a_dot():
    assert names.fit("a" * 53 + "-." + "b" * 20, 63) == "a" * 53 + "-" + names.digest("a" * 53 + "-." + "b" * 20)


@settings(max_examples=40, deadline=None)
@given(paths, paths)
def test_two_files_never_share_a_key(left: str, right: str):
    assert left == right or names.file_key(left) != names.file_key(right)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("/a-b/c", "/a/b-c"),
        ("/a/b", "/a-b"),
        ("/a b", "/a_b"),
        ("/x/y.z", "/x-y.z"),
        ("/" + "a" * 300, "/" + "a" * 301),
    ],
)
def test_known_colliding_paths_stay_apart(left: str, right: str):
    assert names.file_key(left) != names.file_key(right)


@settings(max_examples=40, deadline=None)
@given(paths)
def test_a_file_key_is_one_that_a_config_map_takes(path: str):
    key = names.file_key(path)
    assert len(key) <= names.MAX_NAME
    assert CONFIG_MAP_KEY.fullmatch(key)


@pytest.mark.parametrize("path", ["/..data", "/..", "/...", "/..a/b"])
def test_a_file_key_never_begins_with_two_dots(path: str):
    assert not names.file_key(path).startswith("..")


def test_tasks_of_different_namespaces_never_share_a_pod_of_one_agent():
    for name in (names.foreign_pod, names.foreign_context):
        assert name("a-b", "c") != name("a", "b-c")
    assert names.foreign_pod("dev", "fix") != names.pod("dev-fix")


def test_a_task_and_an_agent_of_one_namespace_never_share_a_config_map():
    assert names.context("team-server") != names.server_context("team")


def test_objects_of_one_task_and_one_agent_have_names_of_their_own():
    for left, right in itertools.combinations([derive("x") for derive in OF_AN_AGENT], 2):
        assert left != right
    assert names.pod("x") != names.context("x")


def test_a_session_id_is_made_from_the_uid_alone():
    assert names.session_id("01234567-89ab-cdef-0123-456789abcdef") == "ses_0123456789abcdef0123456789abcdef"
