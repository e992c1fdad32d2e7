/* Nkey: a user's public key from the seed in a file, because NATS_NKEY names only the seed and
 * nats.c wants both. Ed25519 by libcrypto. The seed is wiped from memory after use. */
#pragma once

#define NKEY_PUBLIC_SIZE 57 /* "U" and 55 more, and the NUL */

/* seed: "SU…", 58 characters. 0; -ERR_CONFIG when it is not a user's seed, never echoing it. */
int nkey_public_of_seed(const char *seed, char ret_public[NKEY_PUBLIC_SIZE]);

/* The first seed in a file, wherever it stands (also between the lines of a decorated one). */
int nkey_public_of_file(const char *path, char ret_public[NKEY_PUBLIC_SIZE]);
