# Read by the tests in a real browser: sets $python to a Python that can drive Chromium, or skips the
# test with the reason.
# shellcheck shell=sh
for python in python3 /usr/bin/python3; do
    if "$python" -c 'import selenium' 2>/dev/null; then
        break
    fi
    python=
done
for need in chromium chromedriver; do
    command -v "$need" >/dev/null || {
        echo "SKIPPED: no $need (Debian: chromium, chromium-driver)"
        exit 77
    }
done
[ -n "$python" ] || {
    echo "SKIPPED: no Python with selenium (Debian: python3-selenium)"
    exit 77
}
# They talk to each other by that name.
getent hosts localhost >/dev/null || {
    echo "SKIPPED: localhost has no address here (it belongs into /etc/hosts)"
    exit 77
}
