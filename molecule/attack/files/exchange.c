/* exchange A B SECONDS: swaps two names in the same folder as fast as it can, as a live process of an app does while
 * root works there. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int main(int count, char **words) {
    if (count != 4)
        return 2;
    time_t end = time(NULL) + atol(words[3]);
    while (time(NULL) < end)
        for (int i = 0; i < 1000; i++)
            syscall(SYS_renameat2, AT_FDCWD, words[1], AT_FDCWD, words[2], RENAME_EXCHANGE);
    return 0;
}
