"""docs/cluster.md: its commands about DVC remotes, typed in their order in clones that share a remote.

The clones have the graph and the parameters of the pipeline, with stages that write a few bytes in place of the real
ones.
"""

import shlex
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests import ROOT
from tests.doubles.clone import Clone, stages_run
from tests.pipeline.test_readme import commands

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs/cluster.md").read_text()
# Writes the outputs of a stage: what they are, who made them, and when.
STAGE = """
import json, os, pathlib, sys, time
for out in map(pathlib.Path, sys.argv[1:]):
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"made": f"{out} of {os.environ['WHO']}", "at": time.time_ns()}))
"""


def blocks(title: str) -> list[list[str]]:
    """The blocks of commands under a heading of the page."""
    (found,) = (part for part in PAGE.split("\n### ") if part.startswith(f"{title}\n"))
    return [commands(f"```console\n{block}") for block in found.split("```console\n")[1:]]


class Site:
    """What several machines share: git's remote and DVC's remote, each machine with a clone of its own."""

    def __init__(self, folder: Path, remote: str, endpoint: str, variables: dict[str, str]) -> None:
        self.folder = folder
        self._replaced = {"s3://my-bucket/hashgen": remote, "https://storage.example.org": endpoint}
        self._variables = variables

    def machine(self, name: str) -> Clone:
        """A clone of git's remote; on the first machine an empty repository that pushes to it."""
        root = self.folder / name / "clone"
        root.mkdir(parents=True)
        clone = Clone(root.parent)
        clone.env |= self._variables | {"WHO": name}
        if not (self.folder / "git").exists():
            clone.run("git", "init", "-q", "--bare", str(self.folder / "git"))
            clone.run("git", "init", "-q")
            clone.run("git", "remote", "add", "origin", str(self.folder / "git"))
        else:
            clone.run("git", "clone", "-q", str(self.folder / "git"), ".")
        return clone

    def type_in(self, clone: Clone, lines: list[str]) -> str:
        """Run lines as they stand on the page, but for where the remotes are."""
        said = ""
        for line in lines:
            if "endpointurl" in line and not self._replaced["https://storage.example.org"]:
                continue  # a folder has none
            for shown, real in self._replaced.items():
                line = line.replace(shown, real)
            said += clone.run(*shlex.split(line))
        return said


def made(clone: Clone, path: str) -> str:
    return str(clone.json(path)["made"])


def write_pipeline(clone: Clone) -> None:
    """The pipeline's graph and parameters, without its code."""
    yaml = YAML()
    pipeline = yaml.load(ROOT / "dvc.yaml")
    for entry in pipeline["stages"].values():
        outs = [out for kind in ("outs", "metrics", "plots") for out in entry.get(kind, [])]
        paths = [out if isinstance(out, str) else next(iter(out)) for out in outs]
        entry["cmd"] = f"python stage.py {' '.join(paths)}"
        entry["deps"] = [dep for dep in entry.get("deps", []) if not dep.startswith(("hashgen/", "stages/"))]
    yaml.dump({"stages": pipeline["stages"]}, clone.root / "dvc.yaml")
    (clone.root / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    (clone.root / "stage.py").write_text(STAGE)
    clone.run("dvc", "init", "-q")
    (clone.root / ".dvc/config").write_bytes((ROOT / ".dvc/config").read_bytes())


@pytest.fixture(params=["folder", "s3"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    if request.param == "folder":
        yield Site(tmp_path, str(tmp_path / "storage"), "", {})
        return
    for package in ("dvc_s3", "moto", "flask_cors"):
        if find_spec(package) is None:
            pytest.skip(f"needs {package}")
    moto, boto3 = pytest.importorskip("moto.server"), pytest.importorskip("boto3")
    variables = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}
    server = moto.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        with pytest.MonkeyPatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket="posts")
        yield Site(tmp_path, "s3://posts/hashgen", endpoint, variables)
    finally:
        server.stop()


def test_the_commands_about_remotes_in_their_order(site: Site) -> None:
    laptop = site.machine("laptop")
    write_pipeline(laptop)
    laptop.run("dvc", "repro")
    laptop.commit("run")
    laptop.run("git", "push", "-q", "--set-upstream", "origin", "HEAD")
    (add,) = blocks("Add one, once")
    site.type_in(laptop, add)

    collect, featurize, rest, model = blocks("Features on a GPU machine, the rest on a laptop")
    params = laptop.root / "params.yaml"
    params.write_text(params.read_text().replace("source: sample", "source: folder", 1))  # other posts than before
    assert stages_run(site.type_in(laptop, collect)) == ["scrape", "filter"]
    gpu = site.machine("gpu")
    assert stages_run(site.type_in(gpu, featurize)) == ["featurize"]
    assert made(gpu, "data/posts.parquet") == "data/posts.parquet of laptop"
    assert not (gpu.root / "data/vocab").exists()
    ran = stages_run(site.type_in(laptop, rest))
    assert sorted(ran) == ["baselines", "evaluate", "report", "split", "suggester", "train", "vocab"]
    assert made(laptop, "data/features") == "data/features of gpu"
    assert laptop.run("git", "status", "--porcelain") == ""
    assert not {"data/features", "models/hashgen"} & set(laptop.run("git", "ls-files").split())
    third = site.machine("third")
    site.type_in(third, model)
    assert made(third, "models/hashgen") == "models/hashgen of laptop"

    run, fetch = blocks("Many machines, one queue each")
    third.run("dvc", "pull")
    site.type_in(third, run)
    assert laptop.run("dvc", "exp", "list", "--name-only").split() == []
    shown = site.type_in(laptop, fetch)
    assert "first-1" in shown and "first-2" in shown
    assert set(laptop.run("dvc", "exp", "list", "--name-only").split()) == {"first-1", "first-2"}
    laptop.run("dvc", "exp", "apply", "first-2")
    assert made(laptop, "models/trained") == "models/trained of third"


def test_no_other_part_about_remotes_has_commands() -> None:
    part = PAGE.split("\n## DVC remotes\n")[1]
    titles = ("Add one, once", "Features on a GPU machine, the rest on a laptop", "Many machines, one queue each")
    assert sum(len(block) for title in titles for block in blocks(title)) == len(commands(part)) > 20
