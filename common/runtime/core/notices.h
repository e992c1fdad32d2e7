/* Notices: what a service found otherwise than it should be and what it does about it, each with
 * field and value (rule 6): a setting of our stream or of a durable, a right that is missing. One
 * part of the service tells all it has to say of one thing, again and again; what is new is logged
 * once (`notice`), and so is what is over (`notice_over`). $SRV.STATS, /metrics and the state read
 * them. Any thread. */
#pragma once
#include <pthread.h>
#include <stdatomic.h>

enum notice_kind {
    NOTICE_BORNE,  /* set by somebody else, and the service works with it */
    NOTICE_MENDED, /* is set back */
    NOTICE_LOST,   /* could not be kept or given back */
    NOTICE_HELD,   /* the service is not ready while it is so */
};

#define NOTICE_FIELD_SIZE 96
#define NOTICE_VALUE_SIZE 128
struct notice {
    char of[48]; /* "stream ORDER", "durable account-svc of ORDER", "permissions" */
    char field[NOTICE_FIELD_SIZE];
    char value[NOTICE_VALUE_SIZE];
    enum notice_kind kind;
};
const char *notice_kind_name(enum notice_kind kind); /* "borne" */

/* Printable text without quotes, cut to what a notice holds. value: NULL is "". */
void notice_set(struct notice *notice, enum notice_kind kind, const char *of, const char *field,
                const char *value, size_t value_length);

#define NOTICES_MAX 64 /* what is beyond it is logged and not listed */
struct notices {       /* zeroed: none */
    pthread_mutex_t lock;
    int count;
    struct notice at[NOTICES_MAX];
    atomic_int held; /* how many of them are NOTICE_HELD */
};

/* From now on these are all that there is to say of `of`; all of them must be of it. */
void notices_replace(struct notices *notices, const char *of, const struct notice *now, int count);
/* A copy of the i-th; false: there are not so many. */
_Bool notices_read(const struct notices *notices, int i, struct notice *ret_notice);
/* The first that is held, as `FIELD=VALUE (OF)`; false: none is. */
_Bool notices_read_held(const struct notices *notices, char *ret_text, size_t size);

/* One sentence that one thread writes and any reads: why a part waits; "": it does not. */
struct status_text {
    pthread_mutex_t lock;
    char text[256];
};
/* True: it is another than before. */
_Bool status_text_set(struct status_text *status, const char *text);
void status_text_read(const struct status_text *status, char *ret_text, size_t size);
