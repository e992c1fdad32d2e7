/* The table of contents of account-svc, see service.c. */
#pragma once
#include "journey.h"

extern const struct service account_service;
