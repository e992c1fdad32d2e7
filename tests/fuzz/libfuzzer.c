/* Libfuzzer: the entry that clang's -fsanitize=fuzzer calls. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_one(data, size);
    return 0; /* libFuzzer keeps other values to itself */
}
