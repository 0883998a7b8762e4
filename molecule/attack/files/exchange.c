/* exchange A B SECONDS: swaps two names in the same folder all the time, as a live process of an app does while root
 * works there. Several that never pause win less often: they wait for a processor, and for each other. */
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
    while (time(NULL) < end) {
        /* odd: what a pause finds alternates, too */
        for (int i = 0; i < 3; i++)
            syscall(SYS_renameat2, AT_FDCWD, words[1], AT_FDCWD, words[2], RENAME_EXCHANGE);
        usleep(1000);
    }
    return 0;
}
