/* Config options: one table says everything about an option of the runtime: its flag, its
 * environment, its help; and what is printed of it. Those of a service stand in its own table. Used
 * by config.c alone. */
#pragma once
#include "runtime/core/config.h"

/* NOLINTNEXTLINE(cert-int09-c): LAST_TEXT is no kind, but the end of a range */
enum config_kind {
    TEXT,
    FILE_NAME,
    KEY_FILE,
    FOLDER,
    LAST_TEXT = FOLDER,
    NUMBER,
    SWITCH,
    LEVEL,
    FORMAT,
    ANSWER_WHEN, /* as the next such: the number of the word in config_choices */
    TAKE_OVER
};

struct config_row {
    const char *flag; /* NULL: from the environment only, because argv is public */
    const char *variable;
    enum config_kind kind;
    size_t offset;
    const char *value; /* the default */
    int64_t min, max;
    const char *help;
    _Bool secret;
};
extern const struct config_row config_rows[];
extern const int config_row_count;

/* What a value of this kind may be, NULL ends; NULL: anything. */
const char *const *config_choices(enum config_kind kind);

/* payment-deadline-s of order-svc -> ORDER_PAYMENT_DEADLINE_S */
void config_variable_of(const struct service *service, const char *option, char *ret_name,
                        size_t size);

void config_print_help(const struct service *service, const struct config_program *program);
void config_print_version(const struct service *service);
void config_print(const struct config *config, const struct service *service);
