from __future__ import annotations

import base64
import http.server
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from kubeopencode.pod import git_auth, git_init, git_url
from kubeopencode.pod.failure import Failure

SECRET = """p@ss:/w?rd#%20 $(id) `x` "q" 'a' \\n ü&=*"""
CLEAN = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_ALLOW_PROTOCOL": "file",
    **{f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}


def git(*arguments, at):
    done = subprocess.run(["git", *arguments], cwd=at, env=CLEAN, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(work, files, message="more"):
    for name, content in files.items():
        path = work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    git("add", "-A", at=work)
    git("commit", "-qm", message, at=work)
    return git("rev-parse", "HEAD", at=work)


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    """A repository with two commits on main, a tag on the first, a branch, and what only a pull request knows."""
    place = tmp_path_factory.mktemp("origin")
    git("init", "-qb", "main", "work", at=place)
    work = place / "work"
    first = commit(work, {"README.md": "one", "docs/guide.md": "guide", "bin/run": "#!/bin/sh\n"})
    git("tag", "v1", at=work)
    (work / "bin" / "run").chmod(0o755)
    (work / "docs" / "up").symlink_to("../README.md")
    (work / "away").symlink_to("/etc")
    second = commit(work, {"README.md": "two"})
    git("checkout", "-qb", "feature/x", "v1", at=work)
    branch = commit(work, {"README.md": "branch"})
    git("checkout", "-q", "--detach", "main", at=work)
    hidden = commit(work, {"README.md": "pull request"})
    git("update-ref", "refs/pull/1/head", hidden, at=work)
    git("checkout", "-q", "main", at=work)
    git("clone", "-q", "--mirror", f"file://{work}", "bare.git", at=place)
    return {
        "url": f"file://{place}/bare.git",
        "bare": place / "bare.git",
        "first": first,
        "second": second,
        "branch": branch,
        "hidden": hidden,
    }


@pytest.fixture
def place(tmp_path, monkeypatch, origin):
    """An empty volume for git, a workspace, a home and an empty place for temporary files."""
    for name in os.environ:
        if name.startswith(("GIT_", "CUSTOM_CA")):
            monkeypatch.delenv(name)
    for name in ("git", "home", "tmp"):
        (tmp_path / name).mkdir()
    values = {
        "GIT_ROOT": tmp_path / "git",
        "HOME": tmp_path / "home",
        "TMPDIR": tmp_path / "tmp",
        "GIT_REPO": origin["url"],
        "GIT_ALLOW_FILE": "1",
        "GIT_CLONE_RETRY_DELAY": "1ms",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    yield tmp_path
    assert list((tmp_path / "tmp").iterdir()) == []
    assert not [path for path in (tmp_path / "git").iterdir() if path.name.endswith("draft")]


@pytest.fixture
def init(place, monkeypatch, capsys):
    """Runs git-init; the answer is what it printed and where the tree should be."""

    def run(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, str(value))
        assert git_init.main([]) == 0
        said = capsys.readouterr()
        run.stderr = said.err
        return said.out

    run.tree = place / "git" / "repo"
    return run


@pytest.fixture
def source(origin, tmp_path):
    """A repository of one test's own, which it may push to."""
    git("clone", "-q", "--bare", origin["url"], "source.git", at=tmp_path)
    git("clone", "-q", f"file://{tmp_path}/source.git", "author", at=tmp_path)
    return tmp_path / "author"


def push(source, files):
    new = commit(source, files)
    git("push", "-q", "origin", "HEAD:main", at=source)
    return new


# --- what is cloned


@pytest.mark.parametrize(
    ("ref", "wanted"),
    [
        ("HEAD", "second"),
        ("main", "second"),
        ("refs/heads/main", "second"),
        ("feature/x", "branch"),
        ("v1", "first"),
        ("refs/tags/v1", "first"),
        ("refs/pull/1/head", "hidden"),
    ],
)
def test_a_branch_a_tag_or_a_full_ref_is_cloned(init, origin, ref, wanted):
    said = init(GIT_REF=ref)

    assert git("rev-parse", "HEAD", at=init.tree) == origin[wanted]
    assert origin["url"] in said
    assert origin[wanted] in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("wanted", ["first", "second", "hidden"])
@pytest.mark.parametrize("depth", ["0", "1"])
def test_any_commit_is_cloned_at_any_depth(init, origin, wanted, depth):
    init(GIT_REF=origin[wanted], GIT_DEPTH=depth)

    assert git("rev-parse", "HEAD", at=init.tree) == origin[wanted]


def test_a_server_that_gives_out_no_single_commits_gives_them_with_the_rest(init, origin, monkeypatch):
    real = git_auth.Git.run

    def run(self, *arguments, place=None):
        if "fetch" in arguments and origin["first"] in arguments:
            raise git_auth.GitFailed("remote error: upload-pack: not our ref")
        return real(self, *arguments, place=place)

    monkeypatch.setattr(git_auth.Git, "run", run)
    init(GIT_REF=origin["first"])

    assert git("rev-parse", "HEAD", at=init.tree) == origin["first"]


@pytest.mark.parametrize(("depth", "commits"), [("1", "1"), ("0", "2"), ("", "1")])
def test_depth_zero_is_the_whole_history(init, depth, commits):
    init(GIT_DEPTH=depth)

    assert git("rev-list", "--count", "HEAD", at=init.tree) == commits


def test_an_empty_repository_is_cloned_too(init, tmp_path):
    git("init", "-q", "--bare", "empty.git", at=tmp_path)

    assert "HEAD is empty" in init(GIT_REPO=f"file://{tmp_path}/empty.git")


def test_submodules_come_along_when_asked_for(init, source, origin):
    git("-c", "protocol.file.allow=always", "submodule", "add", "-q", "--", origin["url"], "lib", at=source)
    push(source, {"x": "x"})
    url = git("remote", "get-url", "origin", at=source)

    init(GIT_REPO=url, GIT_RECURSE_SUBMODULES="true")

    assert (init.tree / "lib" / "README.md").read_text() == "two"


def test_a_submodule_over_ext_runs_nothing(init, source, tmp_path):
    marker = tmp_path / "marker"
    commit(source, {".gitmodules": f'[submodule "x"]\n\tpath = x\n\turl = "ext::touch {marker}"\n'})
    git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},x", at=source)
    git("commit", "-qm", "gitlink", at=source)
    git("push", "-q", "origin", "HEAD:main", at=source)

    with pytest.raises(Failure, match="not allowed"):
        init(GIT_REPO=git("remote", "get-url", "origin", at=source), GIT_RECURSE_SUBMODULES="true")
    assert not marker.exists()
    assert not init.tree.exists()


def test_every_user_may_work_in_the_tree_and_links_are_not_followed(init, place):
    init()

    for path in [init.tree, *init.tree.rglob("*")]:
        mode = path.lstat().st_mode
        assert stat.S_ISLNK(mode) or mode & 0o666 == 0o666, path
        assert not stat.S_ISDIR(mode) or mode & 0o777 == 0o777, path
    assert (init.tree / "bin" / "run").stat().st_mode & 0o111 == 0o111
    assert git("status", "--porcelain", at=init.tree) == ""
    listed = git("config", "--file", str(place / "git" / ".gitconfig"), "--get-all", "safe.directory", at=place)
    assert listed.splitlines() == [str(init.tree), "*"]


# --- what is there already


def test_a_clone_that_is_there_is_not_cloned_again(init, origin, place):
    init()
    (init.tree / "README.md").write_text("my work")

    said = init(GIT_REPO=origin["url"].removesuffix(".git") + "/")

    assert "not cloned again" in said
    assert origin["second"] in said
    assert (init.tree / "README.md").read_text() == "my work"


def test_a_clone_of_another_repository_is_left_alone(init, source):
    init()

    with pytest.raises(Failure, match="holds another repository"):
        init(GIT_REPO=f"file://{source}")


def test_a_folder_with_other_things_is_left_alone(init):
    init.tree.mkdir()
    (init.tree / "notes").write_text("mine")

    with pytest.raises(Failure, match="is not empty and holds no repository"):
        init()
    assert (init.tree / "notes").read_text() == "mine"


def test_half_a_clone_is_thrown_away(init, place):
    draft = place / "git" / ".repo.draft"
    (draft / ".git").mkdir(parents=True)

    init()

    assert (init.tree / "README.md").read_text() == "two"


# --- the workspace


def test_the_tree_comes_to_the_root_of_the_workspace_beside_what_is_there(init, place):
    workspace = place / "workspace"
    workspace.mkdir()
    (workspace / "task.md").write_text("do it")

    init(GIT_WORKSPACE_DIR=workspace)

    assert (workspace / "task.md").read_text() == "do it"
    assert (workspace / "README.md").read_text() == "two"
    assert (workspace / "docs" / "up").readlink() == Path("../README.md")
    assert git("status", "--porcelain", at=workspace) == "?? task.md"
    assert (workspace / "README.md").stat().st_mode & 0o666 == 0o666


def test_a_folder_of_the_tree_comes_without_the_rest(init, place):
    said = init(GIT_WORKSPACE_DIR=place / "workspace", GIT_REPO_SUBPATH="/docs/")

    assert sorted(each.name for each in (place / "workspace").iterdir()) == ["guide.md", "up"]
    assert said.endswith("workspace: 2\n")


@pytest.mark.parametrize("path", ["away", "away/ssl", "README.md", "nowhere", "docs/up"])
def test_a_folder_that_is_none_or_leads_out_is_refused(init, place, path):
    with pytest.raises(Failure, match=r"leads out of the repository|is no folder of the repository"):
        init(GIT_WORKSPACE_DIR=place / "workspace", GIT_REPO_SUBPATH=path)
    assert not (place / "workspace").exists()


def test_links_in_the_workspace_are_not_followed_and_files_that_differ_stay(init, place):
    workspace, outside = place / "workspace", place / "outside"
    outside.mkdir()
    workspace.mkdir()
    (workspace / "docs").symlink_to(outside)
    (workspace / "README.md").write_text("instructions")

    said = init(GIT_WORKSPACE_DIR=workspace)

    assert list(outside.iterdir()) == []
    assert (workspace / "README.md").read_text() == "instructions"
    assert "2 that were there and differ stay, such as README.md" in said


@pytest.fixture
def kept(init, place, source):
    """A workspace that was filled by an earlier start, and a newer commit in the repository."""
    values = {"GIT_WORKSPACE_DIR": place / "workspace", "GIT_REPO": git("remote", "get-url", "origin", at=source)}
    init(**values)
    shutil.rmtree(init.tree)
    push(source, {"README.md": "three", "new.md": "new"})
    return place / "workspace"


def test_a_kept_tree_that_nobody_changed_moves_forward(init, kept, source):
    (kept / "task.md").write_text("untracked")
    newest = push(source, {"README.md": "four"})

    said = init()

    assert f"moved forward to commit {newest}" in said
    assert (kept / "README.md").read_text() == "four"
    assert (kept / "new.md").exists()
    assert git("rev-parse", "HEAD", at=kept) == newest
    assert git("status", "--porcelain", "--branch", at=kept).splitlines() == ["## main...origin/main", "?? task.md"]
    assert git("fsck", at=kept) == ""
    assert "is the newest" in init()


def test_a_kept_tree_that_was_changed_stays(init, kept):
    before = git("rev-parse", "HEAD", at=kept)
    (kept / "README.md").write_text("my work")

    assert "left as it is, because it has changed files (1)" in init()
    assert (kept / "README.md").read_text() == "my work"
    assert git("rev-parse", "HEAD", at=kept) == before


def test_a_kept_tree_with_commits_of_its_own_stays(init, kept):
    mine = commit(kept, {"mine.md": "mine"})

    assert "does not follow from it" in init()
    assert git("rev-parse", "HEAD", at=kept) == mine


def test_a_kept_tree_stays_where_moving_it_would_leave_its_submodules_behind(init, kept, source, origin):
    git("-c", "protocol.file.allow=always", "submodule", "add", "-q", "--", origin["url"], "lib", at=source)
    push(source, {"x": "x"})

    assert "changes submodules" in init(GIT_RECURSE_SUBMODULES="true")
    assert (kept / "README.md").read_text() == "two"


def test_unfinished_work_in_a_kept_tree_is_not_disturbed(init, kept):
    (kept / ".git" / "rebase-merge").mkdir()

    assert "work is going on in it (rebase-merge)" in init()


@pytest.mark.parametrize("name", ["objects", "refs", "index"])
def test_a_kept_git_folder_that_leads_elsewhere_is_not_touched(init, kept, tmp_path, name):
    (kept / ".git" / name).rename(tmp_path / "elsewhere")
    (kept / ".git" / name).symlink_to(tmp_path / "elsewhere")

    assert "left as it is" in init()
    assert (kept / "README.md").read_text() == "two"


def test_an_untracked_file_in_the_way_is_not_overwritten(init, kept):
    (kept / "new.md").write_text("mine")

    assert "cannot be moved forward" in init()
    assert (kept / "new.md").read_text() == "mine"
    assert (kept / "README.md").read_text() == "two"


def test_a_kept_tree_stays_usable_when_its_repository_is_away(init, kept, tmp_path):
    (tmp_path / "source.git").rename(tmp_path / "gone.git")

    assert "left as it is, because it cannot be moved forward" in init()
    assert (kept / "README.md").read_text() == "two"


def test_the_configuration_of_a_kept_tree_runs_no_program(init, kept, tmp_path):
    marker = tmp_path / "marker"
    evil = tmp_path / "evil"
    evil.write_text(f"#!/bin/sh\ntouch {marker}\n")
    evil.chmod(0o755)
    for name in ("core.fsmonitor", "filter.x.smudge", "filter.x.clean", "core.sshCommand", "core.alternateRefsCommand"):
        git("config", name, str(evil), at=kept)
    (kept / ".git" / "info").mkdir(exist_ok=True)
    (kept / ".git" / "info" / "attributes").write_text("* filter=x\n")
    hooks = kept / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("post-merge", "post-checkout", "reference-transaction", "post-index-change"):
        shutil.copy(evil, hooks / name)

    assert "moved forward" in init()
    assert not marker.exists()


def test_a_tree_of_another_repository_in_the_workspace_is_left_alone(init, kept, origin):
    with pytest.raises(Failure, match="holds another repository"):
        init(GIT_REPO=origin["url"])


# --- what is refused


@pytest.mark.parametrize(
    "url",
    [
        "",
        "--upload-pack=x",
        "-x",
        "ext::sh -c id",
        "ext::id",
        "fd::3",
        "ftp://h/x",
        "git://h/x",
        "HTTPS://h/x",
        "https://",
        "https://h",
        "https://h/",
        "https://-oProxy/x",
        "ssh://-oProxyCommand=x/y",
        "https://h:port/x",
        "https://h/a b",
        "https://h/a\nb",
        "https://h/\u202egpj",
        "https://h/\x1b[2J",
        "https://h\\x/y",
        "/etc",
        "host:path",
        "-a@h:p",
        "git@-h:p",
        "git@h:-p",
        "ssh://-a@h/p",
        "https://h/" + "x" * 3000,
    ],
)
def test_an_address_that_is_none_is_refused(init, url):
    with pytest.raises(Failure, match="GIT_REPO") as refused:
        init(GIT_REPO=url)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    "url",
    [
        "https://me:hunter2@h/x",
        "https://hunter2@h/x",
        "ssh://git:hunter2@h/x",
        "https://me:hunt/hunter2@h/x",
        "https://me:hunt?hunter2@h/x",
        "https://me:hunt#hunter2@h/x",
        "https://me:hunt://hunter2@h/x",
        "https://me:hunt@hunter2@h/x",
        "https://me:hunt hunter2@h/x",
        "me:hunt://hunter2@h/x",
        "https://h/x?token=hunter2",
        "https://h/x#hunter2",
        "https://me:hunter2@h:bad/x",
        "me:hunter2@h/x",
    ],
)
def test_credentials_in_an_address_are_refused_and_not_repeated(init, url):
    with pytest.raises(Failure) as refused:
        init(GIT_REPO=url)
    assert "hunt" not in str(refused.value)


def test_an_address_with_credentials_points_to_the_secret():
    with pytest.raises(Failure, match=r'"https://\*\*\*@h/x" has credentials in it; .* git\.secretRef'):
        git_url.repository("https://me:hunter2@h/x", git_url.SCHEMES)


@pytest.mark.parametrize(
    "url",
    [
        "https://h.example/a/b.git",
        "http://h:8080/x",
        "https://[::1]:8443/x",
        "ssh://git@h:22/x",
        "ssh://h/x",
        "git@github.com:a/b.git",
        "git@h:~/x",
        "https://h/x@y",
    ],
)
def test_the_usual_addresses_pass(url):
    assert git_url.repository(url, git_url.SCHEMES).url == url


def test_local_files_need_a_word_of_their_own(init):
    with pytest.raises(Failure, match="cannot be used"):
        init(GIT_ALLOW_FILE="")


@pytest.mark.parametrize(
    "ref",
    [
        "-x",
        "--upload-pack=x",
        "a..b",
        "a b",
        "a\x07",
        "a\u202eb",
        "@",
        "@{1}",
        "a~1",
        "a^",
        "a:b",
        "/a",
        "a/",
        "a.lock",
        ".a",
        "a/.b",
        "a//b",
        "a.",
        "+a",
        "x" * 300,
    ],
)
def test_a_ref_that_git_would_not_take_is_refused(init, ref):
    with pytest.raises(Failure, match="GIT_REF"):
        init(GIT_REF=ref)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GIT_REPO_SUBPATH", "../x"),
        ("GIT_REPO_SUBPATH", "a/../../x"),
        ("GIT_REPO_SUBPATH", ".git"),
        ("GIT_REPO_SUBPATH", "a\nb"),
        ("GIT_LINK", ".."),
        ("GIT_LINK", "a/b"),
        ("GIT_LINK", "-x"),
        ("GIT_ROOT", "git"),
        ("GIT_ROOT", "/a/../b"),
        ("GIT_WORKSPACE_DIR", "x"),
        ("GIT_DEPTH", "-1"),
        ("GIT_DEPTH", "one"),
        ("GIT_CLONE_RETRIES", "many"),
        ("GIT_CLONE_RETRY_DELAY", "5"),
        ("GIT_RECURSE_SUBMODULES", "maybe"),
        ("CUSTOM_CA_CERT_PATH", "/no/such"),
        ("GIT_PASSWORD", "a\nb"),
    ],
)
def test_a_variable_that_cannot_be_used_is_named(init, name, value):
    with pytest.raises(Failure, match=name):
        init(**{name: value})


def test_a_ref_that_is_not_there_says_so_at_once(init, origin):
    with pytest.raises(Failure, match="a commit needs its whole SHA") as failed:
        init(GIT_REF=origin["first"][:10], GIT_CLONE_RETRY_DELAY="10m")
    assert origin["url"] in str(failed.value)


# --- credentials and networks


@pytest.fixture
def served(origin):
    """The repository over HTTP with Basic authentication; `requests` holds what was asked, `failures` fails first."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.wanted = "Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode()
    server.root, server.failures, server.requests = origin["bare"].parent, 0, []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    server.url = f"http://127.0.0.1:{server.server_port}/bare.git"
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append((self.path, self.headers["Authorization"]))
        if self.server.failures:
            self.server.failures -= 1
            self.send_error(503)
        elif self.headers["Authorization"] != self.server.wanted:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="x"')
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._backend()

    do_POST = do_GET

    def _backend(self):
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        environment = {
            **CLEAN,
            "GIT_PROJECT_ROOT": str(self.server.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers["Content-Type"] or "",
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers["Content-Encoding"] or "",
            "GIT_PROTOCOL": self.headers["Git-Protocol"] or "",
        }
        done = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True, check=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        self.send_response(200)
        for line in head.decode().splitlines():
            self.send_header(*line.split(": ", 1))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


def nowhere_on_disk(folder, *secrets):
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            assert not [each for each in secrets if each.encode() in content], path
    return True


@pytest.mark.parametrize("ending", ["", "\n"])
def test_a_password_of_any_characters_opens_the_door_and_stays_nowhere(init, place, served, origin, ending):
    said = init(GIT_REPO=served.url, GIT_USERNAME="me" + ending, GIT_PASSWORD=SECRET + ending)

    assert git("rev-parse", "HEAD", at=init.tree) == origin["second"]
    assert "p@ss" not in said + init.stderr
    assert "unencrypted" in init.stderr
    assert nowhere_on_disk(place, "p@ss", served.wanted.split()[1])


def test_a_wrong_password_is_told_at_once_and_not_printed(init, served, place):
    with pytest.raises(Failure, match="Authentication failed") as failed:
        init(GIT_REPO=served.url, GIT_USERNAME="me", GIT_PASSWORD="hunter2", GIT_CLONE_RETRY_DELAY="10m")
    assert served.url in str(failed.value)
    assert "hunter2" not in str(failed.value)
    assert nowhere_on_disk(place, "hunter2")


def test_a_repository_that_needs_credentials_says_so_without_asking(init, served):
    with pytest.raises(Failure, match=r"needs credentials: a Secret named in git\.secretRef"):
        init(GIT_REPO=served.url)


def test_a_token_alone_is_enough(init, served):
    served.wanted = "Basic " + base64.b64encode(b"x-access-token:t0ken").decode()

    assert "cloned to" in init(GIT_REPO=served.url, GIT_PASSWORD="t0ken")


def test_a_password_goes_to_no_other_host(place, served):
    other = git_url.repository("http://other.example/x.git", git_url.SCHEMES)
    with git_auth.access(other, git_auth.Credentials("me", SECRET)) as ours, pytest.raises(git_auth.GitFailed):
        ours.run("ls-remote", "--", served.url)

    assert {authorization for _, authorization in served.requests} == {None}


def test_a_server_that_is_away_for_a_moment_is_asked_again(init, served, origin):
    served.failures = 2

    init(GIT_REPO=served.url, GIT_USERNAME="me", GIT_PASSWORD=SECRET)

    assert git("rev-parse", "HEAD", at=init.tree) == origin["second"]
    assert init.stderr.count("attempts left:") == 2


def test_a_server_that_stays_away_is_named(init, served):
    served.failures = 1000

    with pytest.raises(Failure, match="503") as failed:
        init(GIT_REPO=served.url, GIT_CLONE_RETRIES="2")
    assert served.url in str(failed.value)
    assert len(served.requests) == 3
    assert not init.tree.exists()


def test_what_git_says_is_printed_without_secrets():
    credentials = git_auth.Credentials("me", "s3 cret/")

    assert credentials.conceal("a s3 cret/ b s3%20cret%2F c s3%20cret/ https://u:p@h/ bWU6czMgY3JldC8=") == (
        "a *** b *** c *** https://***@h/ ***"
    )


def test_a_key_for_ssh_is_in_memory_only(place, monkeypatch):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(place / "id")], check=True)
    key, public = (place / "id").read_text().strip(), (place / "id.pub").read_text().split()[1]
    stub = place / "bin"
    stub.mkdir()
    (stub / "ssh").write_text(
        '#!/bin/sh\nfor each in "$@"; do echo "$each"; last=$each; done >"$OUT"\n'
        'while [ $# -gt 1 ]; do [ "$1" = -i ] && ssh-keygen -y -f "$2" >"$OUT.key"; shift; done\n'
    )
    (stub / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{stub}:{os.environ['PATH']}")
    monkeypatch.setenv("OUT", str(place / "out"))
    repository = git_url.repository("git@h.example:a/b.git", git_url.SCHEMES)
    credentials = git_auth.Credentials(ssh_key=key, known_hosts="h.example ssh-ed25519 AAAA")

    with git_auth.access(repository, credentials) as ours:
        with pytest.raises(git_auth.GitFailed):
            ours.run("ls-remote", "--", repository.url)
        assert (ours.private / "known_hosts").read_text() == "h.example ssh-ed25519 AAAA\n"
        assert nowhere_on_disk(ours.private, key.splitlines()[2])

    words = (place / "out").read_text().splitlines()
    assert (place / "out.key").read_text().split()[1] == public
    assert words[:2] == ["-F", "/dev/null"]
    assert {"StrictHostKeyChecking=yes", "IdentitiesOnly=yes", "BatchMode=yes"} <= set(words)


def test_without_known_hosts_the_first_key_is_accepted_and_that_is_said(place, capsys):
    repository = git_url.repository("ssh://git@h.example/a", git_url.SCHEMES)

    with git_auth.access(repository, git_auth.Credentials()):
        pass

    assert "GIT_SSH_KNOWN_HOSTS is not given" in capsys.readouterr().err


def test_added_certificates_join_those_of_the_system(place, monkeypatch):
    added, system = place / "added.pem", place / "system.pem"
    added.write_text("-----BEGIN CERTIFICATE-----\nadded\n")
    system.write_text("-----BEGIN CERTIFICATE-----\nsystem\n")
    monkeypatch.setenv("SSL_CERT_FILE", str(system))
    repository = git_url.repository("https://h/x", git_url.SCHEMES)

    with git_auth.access(repository, git_auth.Credentials(ca_file=str(added))) as ours:
        both = (ours.private / "ca.pem").read_text()
        assert ours.run("-c", "alias.told=!echo $GIT_SSL_CAINFO", "told") == str(ours.private / "ca.pem")

    assert "system" in both
    assert "added" in both


def test_being_stopped_leaves_nothing_private_behind(place, served):
    served.failures = 1000
    environment = {
        **os.environ,
        "GIT_REPO": served.url,
        "GIT_CLONE_RETRY_DELAY": "10m",
        "GIT_PASSWORD": "hunter2",
        "PYTHONPATH": str(Path(git_init.__file__).parents[2]),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "kubeopencode.pod", "git-init"], env=environment, stderr=subprocess.PIPE, text=True
    )
    lines = iter(process.stderr.readline, "")
    assert any("attempts left" in line for line in lines)

    process.terminate()

    assert process.wait(10) == 143
    process.stderr.close()
