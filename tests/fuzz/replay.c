/* Replay: runs the inputs of a folder through a target; needs no fuzzer.
 *
 *     replay_requests FOLDER|FILE…
 *
 * Each input lies in memory of exactly its size, so that a sanitizer sees a read behind its end.
 * Exit code
 * 0; 1 when a folder cannot be read, has no inputs, or nothing was taken; an abort names what does
 * not hold. */
#include "fuzz.h"
#include "base/cleanup.h"
#include <dirent.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

static size_t input_count, taken_count;

static int replay_file(const char *path)
{
    struct stat status;
    if (stat(path, &status) < 0)
        return -1;
    if (!S_ISREG(status.st_mode))
        return 0;
    FILE *file = fopen(path, "rb");
    if (!file)
        return -1;
    size_t size = (size_t)status.st_size;
    _free_memory_ uint8_t *data = malloc(size ? size : 1);
    size_t length = data ? fread(data, 1, size, file) : 0;
    fclose(file);
    if (!data || length != size)
        return -1;
    printf("%s\n", path); /* the last line when the target aborts */
    fflush(stdout);
    input_count++;
    taken_count += fuzz_one(data, size) == 1;
    return 0;
}

static int replay_folder(const char *folder)
{
    struct dirent **entries;
    int r = 0, count = scandir(folder, &entries, NULL, alphasort);
    if (count < 0)
        return replay_file(folder);
    for (int i = 0; i < count; i++) {
        char path[PATH_MAX];
        if (r == 0 &&
            snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name) < (int)sizeof(path))
            r = replay_file(path);
        free(entries[i]);
    }
    free(entries);
    return r;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (replay_folder(argv[i]) < 0) {
            fprintf(stderr, "%s: cannot be read\n", argv[i]);
            return 1;
        }
    printf("%zu inputs, %zu taken, the others refused\n", input_count, taken_count);
    return taken_count > 0 ? 0 : 1;
}
