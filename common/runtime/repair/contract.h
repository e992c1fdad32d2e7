/* Contract: what --print-contract prints, and what journey-asyncapi and journey-compat read: one
 * JSON object with all that a service answers, says and asks, from its table.
 *
 *   contract       1: the form of this object. Members are added; another number breaks readers
 *   name version description log prefix schema_base
 *   refusal        the schema of an answer that says no
 *   requests       [subject, kind (command, query, runtime), request, reply, account,
 *                  account_subject]                              the last two where it has them
 *   events         [name, version, subject, schema]                 of its own log
 *   sources        [log, service, prefix, option, events: [name, version, subject, schema, reacts]]
 *   calls          [subject, request, reply]                        of somebody outside the mesh
 *   refusals       [code, status, transient, of (runtime, service)]
 *   options        [name, environment, kind, default, min, max, choices, help, secret, of]
 *   limits         numbers that a client meets
 *   schemas        by name: each that is named above, a whole JSON Schema 2020-12
 *
 * requests of the kind `runtime` are those that every service answers, and an option of the kind
 * `choice` has choices, of the kind `number` min and max. */
#pragma once
#include <stdio.h>

struct service;

int contract_print(const struct service *service, FILE *file); /* 0, -ERR_MEMORY, -ERR_IO */
