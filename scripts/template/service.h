/* The table of contents of @name@, see service.c. */
#pragma once
#include "journey.h"

extern const struct service @name@_service;
