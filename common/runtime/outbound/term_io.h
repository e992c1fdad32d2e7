/* Term I/O: this instance's term (store/terms.h). It asks the writer to begin it, and knows when it
 * is committed. Before that nothing is decided here: requests are answered as while a service
 * starts, others' logs are not read. On the sender's thread. */
#pragma once
#include "runtime/outbound/outbound.h"

struct term_io {
    struct outbound *outbound;
    const char *instance; /* our id in $SRV; borrowed */
    int64_t term;         /* begun in this life, and committed; 0: none yet */
    int64_t position;     /* our log has its TermBegan when it goes so far */
    _Bool is_aside;       /* set aside, and committed */
    int64_t ended_at;     /* position of our TermEnded, committed; 0: there is none */
    _Bool asked;          /* the writer has the item */
    int64_t ask_ms;       /* monotonic: not again before */
};

void term_io_init(struct term_io *term_io, struct outbound *outbound, const char *instance);

/* The own stream is a prefix of our log, and nobody else leads: asks for the next term, behind the
 * highest that the log has or that was seen in the stream. Again and again until term_io->term. */
void term_io_begin(struct term_io *term_io, int64_t seen, int64_t now_ms);
void term_io_settled(struct term_io *term_io, const struct batch *batch, int64_t now_ms);
/* Our term has begun, and ends for the one that is to lead next; in vain when we are fenced. Until
 * term_io->ended_at. */
void term_io_end(struct term_io *term_io, const char *successor, int64_t now_ms);
/* Another leads: what is behind the last common position is to be set aside. Again and again until
 * term_io->is_aside. */
void term_io_set_aside(struct term_io *term_io, int64_t common, const char *database_path,
                       int64_t now_ms);
/* monotonic time when term_io_begin or term_io_set_aside wants to be called again; INT64_MAX */
int64_t term_io_due_ms(const struct term_io *term_io);
