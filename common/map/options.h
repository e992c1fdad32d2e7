/* Options of the map. A flag goes before the environment, the environment before the default; their
 * names are those of the services where they have them. */
#pragma once
#include "base/log.h"
#include "bus/bus.h"

struct options {
    const char *server, *as, *source_api;
    const char *user, *password, *token, *credentials_file, *nkey_file;
    const char *certificate_file, *key_file, *ca_file;
    const char *http;      /* "127.0.0.1:9180" */
    const char *hosts;     /* more names of its page, with commas; NULL: none */
    const char *contracts; /* files of services' contracts, with commas; NULL: none */
    const char *play;      /* the program with the plugs, scripts/mesh; NULL: none */
    const char *plugs;     /* the processes that it may be given, with commas; NULL: none */
    enum log_level log_level;
};

/* 0: run; > 0: it was --help or --version, and is done; -ERR_CONFIG, with the reason on stderr. All
 * is borrowed from argv and environ. */
int options_read(struct options *options, int argc, char **argv);

void options_bus(const struct options *options, struct bus_options *ret_bus);
