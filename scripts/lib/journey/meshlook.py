"""Meshlook: one look at a mesh: a glance at the pid files, and one request ($SRV.STATS) that all
services answer. Whatever shows how a mesh is, shows what this has found (meshstatus.py)."""
import datetime
import json
import os
import subprocess

from journey.patience import slower

SERVICES = ("account-svc", "order-svc")
ANSWER_S = 0.8                         # how long a look waits for a service that is silent


def process_state(path):
    """(pid, state) by a pid file, "PID START", whose second number tells a pid that is used again
    (scripts/lib/lib.sh)."""
    try:
        with open(path, encoding="utf-8") as file:
            pid, start = file.read().split()
        with open(f"/proc/{int(pid)}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(") ")[2].split()
    except (OSError, ValueError):
        return None, "dead"
    if fields[19] != start or fields[0] == "Z":
        return None, "dead"
    return int(pid), "paused" if fields[0] in "Tt" else "running"


def processes(mesh):
    """(name, service, address) of each, service None: a server."""
    url = mesh.url.split(",")
    found = []
    if os.path.exists(os.path.join(mesh.folder, "run", "port")):
        count = int(mesh.setting("servers") or 1)
        found += [("server" if count == 1 else f"server-{i + 1}", None, url[i])
                  for i in range(count)]
    others = [name for name in mesh.service.values() if name not in SERVICES]
    for service in SERVICES + tuple(others):
        names = [service] if mesh.instances <= 1 else [
            f"{service}-{i + 1}" for i in range(mesh.instances)]
        found += [(name, service, os.path.join(mesh.folder, name)) for name in names]
    return found


def statistics(mesh, count, wait_s):
    """The answers to $SRV.STATS, of as many instances; those that come in time."""
    if count == 0:
        return []
    try:
        done = subprocess.run(
            ["nats", "request", "--raw", "--timeout", f"{slower(wait_s):.1f}s",
             "--replies", str(count), "$SRV.STATS", ""], env=mesh.environment, check=False,
            stdin=subprocess.DEVNULL, capture_output=True, timeout=slower(5))
    except subprocess.TimeoutExpired:
        return []
    answers, decoder, text = [], json.JSONDecoder(), done.stdout.decode(errors="replace").strip()
    while text:
        try:
            answer, end = decoder.raw_decode(text)
        except ValueError:
            break
        answers.append(answer)
        text = text[end:].strip()
    return answers


def report(answer):
    """What one instance says of itself."""
    endpoints = answer.get("endpoints") or []
    return {"id": answer.get("id"), "version": answer.get("version"),
            "started": answer.get("started"),
            "requests": sum(endpoint.get("num_requests", 0) for endpoint in endpoints),
            "errors": sum(endpoint.get("num_errors", 0) for endpoint in endpoints),
            "processing_ns": sum(endpoint.get("processing_time", 0) for endpoint in endpoints),
            "data": next((endpoint["data"] for endpoint in endpoints if endpoint.get("data")), {})}


def is_of(answer, row, mesh):
    """Is the answer that process's? A single one may be older than the field that tells it."""
    pid = (answer.get("metadata") or {}).get("pid")
    return answer.get("name") == row["service"] and (
        str(pid) == str(row["pid"]) or (pid is None and mesh.instances <= 1))


def look(mesh, wait_s=ANSWER_S):
    """How each process is, and what each service reports of itself."""
    rows = []
    for name, service, address in processes(mesh):
        pid, state = process_state(os.path.join(mesh.folder, "run", name + ".pid"))
        rows.append({"process": name, "service": service, "pid": pid, "state": state,
                     "address": address, "report": None})
    running = [row for row in rows if row["service"] and row["state"] == "running"]
    for answer in statistics(mesh, len(running), wait_s):
        for row in running:
            if is_of(answer, row, mesh):
                row["report"] = report(answer)
    now = datetime.datetime.now(datetime.timezone.utc)
    return {"time": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "dir": mesh.folder, "url": mesh.url, "secure": mesh.is_secure, "processes": rows}


# ---- What a cluster says of its streams ----------------------------------------------------------

def stream(mesh, log):
    """Its Raft leader, and how far its replicas are; or why that is not known."""
    prefix = f"{log}.JS.API" if mesh.is_secure else "$JS.API"
    try:
        text = mesh.nats("request", "--raw", "--timeout", f"{slower(1):.1f}s",
                         f"{prefix}.STREAM.INFO.{log}", "")
        answer = json.loads(text) if text.strip() else {}
    except (RuntimeError, ValueError, subprocess.TimeoutExpired):
        answer = {}
    cluster = answer.get("cluster")
    if not cluster:
        error = (answer.get("error") or {}).get("description") or "no answer"
        return {"stream": log, "leader": None, "replicas": [], "error": error}
    return {"stream": log, "leader": cluster.get("leader"), "error": None, "replicas": [
        {"name": replica.get("name"), "lag": replica.get("lag", 0),
         "state": "offline" if replica.get("offline") else
                  "current" if replica.get("current") else "behind"}
        for replica in cluster.get("replicas") or []]}


def streams(mesh):
    """Of each stream of a cluster; of a single server there is nothing to say."""
    if int(mesh.setting("servers") or 1) <= 1:
        return []
    return [stream(mesh, log) for log in mesh.service]
