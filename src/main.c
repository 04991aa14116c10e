// The program: a client of libfmnist like any other.
#include <fmnist/fmnist.h>

#include <stdlib.h>

// Between two loops OpenMP's threads wait by spinning, which libgomp does for milliseconds. That is
// lost where two threads are on one processor: in the beginning, until the scheduler parts them,
// and whenever the data's thread or another program has one of the processors. The loops of a step
// follow each other within this many turns, some 10 us. It is read when libgomp is loaded, with the
// backend; what a user has set stays.
static void shorten_spinning(void)
{
    if (!getenv("OMP_WAIT_POLICY"))
        setenv("GOMP_SPINCOUNT", "1000", 0);
}

int main(int argc, char **argv)
{
    shorten_spinning();
    return fmnist_main(argc, argv);
}
