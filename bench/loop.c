/* A bare spawn-and-wait loop: COUNT runs of a command, PARALLEL at a time, with nothing kept.
 *
 *   loop COUNT PARALLEL DIRECTORY COMMAND [ARG ...]
 *
 * With a DIRECTORY other than "-", run number i writes to DIRECTORY/i.out, as a batch job would. */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

extern char **environ;

static void start(long number, const char *directory, char **command) {
    posix_spawn_file_actions_t actions;
    char path[4096];
    pid_t pid;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    if (strcmp(directory, "-") != 0) {
        snprintf(path, sizeof path, "%s/%ld.out", directory, number);
        posix_spawn_file_actions_addopen(&actions, 1, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
        posix_spawn_file_actions_adddup2(&actions, 1, 2);
    }
    if (posix_spawnp(&pid, command[0], &actions, NULL, command, environ) != 0) {
        perror(command[0]);
        exit(1);
    }
    posix_spawn_file_actions_destroy(&actions);
}

int main(int argc, char **argv) {
    if (argc < 5) {
        fprintf(stderr, "usage: loop COUNT PARALLEL DIRECTORY COMMAND [ARG ...]\n");
        return 2;
    }
    long count = atol(argv[1]), parallel = atol(argv[2]), started = 0, ended = 0;
    while (ended < count) {
        while (started < count && started - ended < parallel)
            start(started++, argv[3], argv + 4);
        int status;
        if (wait(&status) < 0 || status != 0) {
            fprintf(stderr, "a run failed\n");
            return 1;
        }
        ended++;
    }
    return 0;
}
