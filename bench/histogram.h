/* Histogram of latencies, log-linear as HdrHistogram's: 64 steps to each doubling, so a percentile
 * is right within 1.6 %, from nanoseconds to hours. One thread adds at a time. */
#pragma once
#include <stdint.h>

#define HISTOGRAM_STEP_BITS 6
#define HISTOGRAM_STEPS (1 << HISTOGRAM_STEP_BITS)
#define HISTOGRAM_BUCKETS ((48 - HISTOGRAM_STEP_BITS + 1) * HISTOGRAM_STEPS)

struct histogram {
    int64_t counts[HISTOGRAM_BUCKETS];
    int64_t total, max;
};

static inline int histogram_bucket(int64_t value)
{
    if (value < HISTOGRAM_STEPS)
        return value < 0 ? 0 : (int)value;
    int shift = 63 - __builtin_clzll((uint64_t)value) - HISTOGRAM_STEP_BITS;
    int bucket = ((shift + 1) << HISTOGRAM_STEP_BITS) +
                 (int)((value >> shift) & (HISTOGRAM_STEPS - 1));
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

/* The largest value of the bucket. */
static inline int64_t histogram_value(int bucket)
{
    int shift = (bucket >> HISTOGRAM_STEP_BITS) - 1;
    if (shift < 0)
        return bucket;
    return (((int64_t)(HISTOGRAM_STEPS + (bucket & (HISTOGRAM_STEPS - 1))) + 1) << shift) - 1;
}

static inline void histogram_add(struct histogram *histogram, int64_t value)
{
    histogram->counts[histogram_bucket(value)]++;
    histogram->total++;
    if (value > histogram->max)
        histogram->max = value;
}

/* p from 0 to 1. 0 for an empty histogram. */
static inline int64_t histogram_percentile(const struct histogram *histogram, double p)
{
    int64_t wanted = (int64_t)(p * (double)histogram->total + 0.5), seen = 0;
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->counts[i];
        if (seen >= wanted && seen > 0)
            return histogram_value(i) < histogram->max ? histogram_value(i) : histogram->max;
    }
    return histogram->max;
}
