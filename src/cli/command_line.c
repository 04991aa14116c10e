// The whole program but its main(): reads the command line, runs the command, prints why it failed
// and says how the process should end.
#include "cli/args.h"
#include "cli/common.h"

#include "base/interrupt.h"
#include "base/log.h"
#include "base/version.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    EXIT_OK = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_DRIFT = 3,
    EXIT_SIGNAL = 128
};

static enum fm_status run(const struct fm_args *args)
{
    struct fm_text text = {0};
    if (args->version) {
        fm_text_append(&text, "fmnist %s\n", FM_VERSION);
        return fm_print_text(&text);
    }
    if (args->help) {
        if (args->command)
            fm_help_command(args->command, &text);
        else
            fm_help_overview(&text);
        return fm_print_text(&text);
    }
    return args->command->run(args);
}

// A line that says what to do next, where the message itself does not.
static void print_hint(enum fm_status status, const struct fm_args *args)
{
    const char *command = args->command ? args->command->name : NULL;
    if (status == FM_USAGE && command && strcmp(command, "help") != 0)
        fprintf(stderr, "hint: 'fmnist help %s' lists its options\n", command);
    else if (status == FM_USAGE)
        fprintf(stderr, "hint: 'fmnist help' lists the commands\n");
    else if (status == FM_UNSUPPORTED || status == FM_BACKEND)
        fprintf(stderr, "hint: 'fmnist info' says what each backend and device offers\n");
}

// The others end a command early, or say what it has found.
static bool is_failure(enum fm_status status)
{
    return status != FM_INTERRUPTED && status != FM_DRIFT;
}

static int report(enum fm_status status, const struct fm_args *args)
{
    if (status == FM_OK)
        return EXIT_OK;
    struct fm_text clean = {0};
    const char *message = fm_error_message();
    fm_progress_clear();
    fm_text_append_lines(&clean, message[0] ? message : fm_status_text(status));
    fprintf(stderr, "fmnist: %s%s\n", is_failure(status) ? "error: " : "", fm_text_cstr(&clean));
    fm_text_free(&clean);
    print_hint(status, args);
    if (status == FM_INTERRUPTED) // as a shell tells of a process that a signal has ended
        return EXIT_SIGNAL + fm_interrupt_signal();
    if (status == FM_DRIFT)
        return EXIT_DRIFT;
    return status == FM_USAGE ? EXIT_USAGE : EXIT_FAILED;
}

// Where one of the standard streams is closed, the next file to be opened would take its place, and
// what is printed would go into a checkpoint or a result. To write there, or to read standard
// input, fails as it did.
static void fill_standard_streams(void)
{
    for (int descriptor = STDIN_FILENO; descriptor <= STDERR_FILENO; descriptor++)
        if (fcntl(descriptor, F_GETFD) < 0 && // the lowest that is free is this one
            open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0)
            _exit(EXIT_FAILED); // without a stream to say it on
}

int fm_command_line(int argc, char *const *argv)
{
    struct fm_args args;
    fill_standard_streams();
    // A reader that went away is a failed write like any other: reported, and exit status 1.
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); // and so is a file that a limit keeps from growing
    enum fm_status status = fm_args_parse(argc, argv, &args);
    fm_log_set_quiet(args.quiet);
    if (status == FM_OK)
        status = run(&args);
    if (status == FM_OK)
        status = fm_print_end();
    int exit_status = report(status, &args);
    fm_args_free(&args);
    return exit_status;
}
