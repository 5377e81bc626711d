/* A job that leaves a mark: adds a byte to a file, and ends.  mark FILE */
#include <fcntl.h>
#include <unistd.h>

int main(int count, char **words) {
    int file = count > 1 ? open(words[1], O_WRONLY | O_APPEND | O_CREAT, 0600) : -1;
    return file >= 0 && write(file, "x", 1) == 1 ? 0 : 1;
}
