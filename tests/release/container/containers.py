"""The files of deploy/container, read."""
import json
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[3]
FOLDER = ROOT / "deploy" / "container"
# By a module of .tools, which scripts/setup --tests brings for the contracts.
READ = ("const { load } = require(process.argv[1]); const fs = require('fs');"
        "console.log(JSON.stringify(load(fs.readFileSync(process.argv[2], 'utf8'))))")


def read_yaml(path):
    reader = str(ROOT / ".tools/node_modules/js-yaml")
    done = subprocess.run(["node", "-e", READ, reader, str(path)], check=True, capture_output=True,
                          text=True)
    return json.loads(done.stdout)


def merged(files):
    """The services of these compose files, later ones over earlier ones, as compose merges them:
    settings of the environment and new services are added, a command is replaced."""
    services, volumes = {}, set()
    for name in files:
        file = read_yaml(FOLDER / name)
        volumes |= set(file["volumes"])
        for service, said in file["services"].items():
            known = services.setdefault(service, {})
            environment = {**known.get("environment", {}), **said.get("environment", {})}
            known.update(said)
            if environment:
                known["environment"] = environment
    return services, volumes


def steps_of(containerfile):
    """[(instruction, rest of the line)]; comments are left out."""
    lines = [line for line in containerfile.read_text(encoding="utf-8").split("\n")
             if line and not line.startswith("#")]
    return [tuple(re.split(r"\s+", line, maxsplit=1)) for line in lines]
