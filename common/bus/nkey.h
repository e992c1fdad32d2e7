/* Nkey: the public key of a user, made from the seed in a file. NATS_NKEY names only the file of
 * the seed, and nats.c needs both. Ed25519 by libcrypto. The seed is wiped from memory after
 * use. */
#pragma once

#define NKEY_PUBLIC_SIZE 57 /* "U" and 55 more, and the NUL */

/* seed: "SU…", 58 characters. 0, or -ERR_CONFIG: not the seed of a user; the message never holds
 * the seed. */
int nkey_public_of_seed(const char *seed, char ret_public[NKEY_PUBLIC_SIZE]);

/* Of the first seed in a file, which may stand between other lines, as nsc decorates it. */
int nkey_public_of_file(const char *path, char ret_public[NKEY_PUBLIC_SIZE]);
