"""Strays: database files of a service beside the one that serves it, such as that of a second
instance, of a copied folder, or of a machine that came back. Events in them that the served log
has not were perhaps answered as accepted, and are nowhere else."""
import glob
import os
import sqlite3
import urllib.parse

DEPTH_MAX = 3  # of folders below the mesh's


def folders_of_processes(service):
    """The --data-dir of each process of this service on this machine, as far as it can be seen."""
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as file:
                words = file.read().decode(errors="replace").split("\0")
            with open(path.replace("cmdline", "environ"), "rb") as file:
                variables = file.read().decode(errors="replace").split("\0")
            home = os.readlink(path.replace("cmdline", "cwd"))
        except OSError:
            continue
        if os.path.basename(words[0]) != service:
            continue
        chosen = [v.partition("=")[2] for v in variables if v.startswith("JOURNEY_DATA_DIR=")]
        for i, word in enumerate(words):
            if word.startswith("--data-dir="):
                chosen.append(word.partition("=")[2])
            elif word == "--data-dir" and i + 1 < len(words):
                chosen.append(words[i + 1])
        if chosen:
            yield os.path.join(home, chosen[-1]), words


def folders_below(folder):
    for path, names, _ in os.walk(folder):
        if os.path.relpath(path, folder).count(os.sep) + 1 >= DEPTH_MAX:
            names.clear()
        yield path


def stray_files(folder, service, url, served):
    """Files of the service beside the served one: in the mesh's folder, in that in which we run,
    and those of processes that name this mesh's server."""
    places = [*folders_below(folder), os.getcwd()]
    places += [place for place, words in folders_of_processes(service) if url in words]
    found = {os.path.realpath(os.path.join(place, service + ".db")) for place in places}
    return sorted(path for path in found - {os.path.realpath(served)} if os.path.isfile(path))


def events_of(path):
    """(position, chain, type, cause) of all events in a file."""
    database = sqlite3.connect(f"file:{urllib.parse.quote(path)}?mode=ro", uri=True, timeout=10)
    try:
        return [(position, chain.hex(), kind, cause) for position, chain, kind, cause in
                database.execute("SELECT position, chain, type, cause FROM event_log")]
    finally:
        database.close()


def strays(folder, service, url, served, events):
    """How many stray files there are beside the file `served`, and a sentence for each event of
    theirs that the served log (a list of Events) has not."""
    chains, wrong = {event.position: event.chain for event in events}, []
    paths = stray_files(folder, service, url, served)
    for path in paths:
        try:
            found = events_of(path)
        except sqlite3.Error as error:
            wrong.append(f"{path} cannot be read: {error}")
            continue
        wrong += [f"{path}: position {position}, {kind}"
                  + (f", accepted as {cause}" if (cause or "").startswith("request") else "")
                  for position, chain, kind, cause in found if chains.get(position) != chain]
    return len(paths), wrong


def check(table, mesh, logs):
    """One row of scripts/check for each log."""
    for log, (events, _) in logs.items():
        count, wrong = strays(mesh.folder, mesh.service[log], mesh.url, mesh.database_path(log),
                              events)
        table.check(f"{log}: no other file of {mesh.service[log]} has events that its log has not",
                    count, wrong)
