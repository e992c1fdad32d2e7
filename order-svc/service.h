/* The table of contents of order-svc, see service.c. */
#pragma once
#include "journey.h"

extern const struct service order_service;
