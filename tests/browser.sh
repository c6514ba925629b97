#!/bin/sh
# Prints the path of a Chromium; where there is none, installs Debian's, or says in one line what to install.
# The report's tests open pages in it.
find_browser() {
    for name in chromium chromium-browser google-chrome google-chrome-stable; do
        command -v "$name" && return 0
    done
    mac="/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
    [ -x "$mac" ] && echo "$mac"
}

find_browser && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && grep -qx 'ID=debian' /etc/os-release; then
    echo "installing Debian's chromium, in which the report's tests open pages" >&2
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends chromium >&2
    find_browser && exit 0
fi
echo "make test: no Chromium on the PATH; install chromium or google-chrome (Debian: apt-get install chromium)" >&2
exit 1
