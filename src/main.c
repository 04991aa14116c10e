// The program: a client of libfmnist like any other.
#include <fmnist/fmnist.h>

#include <stdlib.h>

// Between two loops OpenMP's threads wait by spinning, which libgomp does for milliseconds. That is
// lost where two threads are on one processor: in the beginning, until the scheduler parts them,
// and whenever the data's thread or another program has one of the processors. But to wake a thread
// that has gone to sleep takes 50 to 70 us in a virtual machine, so they spin for about as long:
// 5,000 turns, a PAUSE each, of some 11 ns where that was measured. It is read when libgomp is
// loaded, with the backend; what a user has set stays.
static void shorten_spinning(void)
{
    if (!getenv("OMP_WAIT_POLICY"))
        setenv("GOMP_SPINCOUNT", "5000", 0);
}

int main(int argc, char **argv)
{
    shorten_spinning();
    return fmnist_main(argc, argv);
}
