# shellcheck shell=bash
# Packages of Debian for the image and its test, without touching the machine's own apt. Sourced by image/build and image/test,
# which set `work`, the folder to keep them in, and `fail`.
# shellcheck disable=SC2154
#
# A private configuration of apt below target/image/apt names suites and architectures of its own, on the server that the
# machine's apt takes Debian from (or HAUSPOST_DEBIAN), signed by Debian's keys as they are installed. What was unpacked once
# is kept; remove target/image to get newer packages.

# Where Debian comes from, without a slash at the end.
debian_server() {
    if [ -n "${HAUSPOST_DEBIAN:-}" ]; then
        echo "${HAUSPOST_DEBIAN%/}"
        return
    fi
    # shellcheck disable=SC2016 # apt's own variables
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' 2>/dev/null |
        sed -n '1s#/*$##p'
}

# Makes the private configuration for SUITES (words) with COMPONENTS (words) and all ARCHITECTURES (words), the first one native.
# usage: debian_sources NAME "SUITES" "COMPONENTS" "ARCHITECTURES"
debian_sources() {
    local name=$1 suites=$2 components=$3 architectures=$4 root=$work/apt/$1 server architectures_quoted keys=/usr/share/keyrings/debian-archive-keyring.gpg
    [ -f "$root/updated" ] && return 0
    server=$(debian_server)
    [ -n "$server" ] || fail "no source of Debian in this machine's apt: run apt-get update, or set HAUSPOST_DEBIAN to a server's URL"
    [ -f "$keys" ] || fail "Debian's keys are not installed: package debian-archive-keyring"
    mkdir -p "$root"/{lists/partial,archives/partial,empty}
    # shellcheck disable=SC2086 # words
    architectures_quoted=$(printf '"%s"; ' $architectures)
    : >"$root/status"
    printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: %s\nArchitectures: %s\nSigned-By: %s\n' \
        "$server" "$suites" "$components" "$architectures" "$keys" >"$root/debian.sources"
    cat >"$root/apt.conf" <<CONF
Dir::Etc::SourceList "$root/debian.sources";
Dir::Etc::SourceParts "$root/empty";
Dir::Etc::Parts "$root/empty";
Dir::Etc::Preferences "$root/none";
Dir::Etc::PreferencesParts "$root/empty";
Dir::State::Lists "$root/lists";
Dir::State::Status "$root/status";
Dir::Cache "$root";
Dir::Cache::Archives "$root/archives";
APT::Architecture "${architectures%% *}";
APT::Architectures { $architectures_quoted};
APT::Sandbox::User "root";
APT::Install-Recommends "false";
Acquire::Languages "none";
CONF
    APT_CONFIG="$root/apt.conf" apt-get -qq update >&2 || fail "$name: apt-get update failed"
    touch "$root/updated"
}

# Downloads PACKAGES of the configuration NAME and unpacks them into FOLDER, once; with their dependencies when they are given as
# `+package`. What was unpacked is listed in FOLDER/.packages as "name version".
# usage: debian_unpack NAME FOLDER PACKAGE...
debian_unpack() {
    local name=$1 folder=$2 root=$work/apt/$1 package
    shift 2
    [ "$(cat "$folder/.wanted" 2>/dev/null)" = "$*" ] && return 0
    rm -rf "$folder"
    mkdir -p "$folder"
    local whole=() alone=()
    for package in "$@"; do
        case $package in +*) whole+=("${package#+}") ;; *) alone+=("$package") ;; esac
    done
    rm -f "$root"/archives/*.deb
    export APT_CONFIG="$root/apt.conf"
    if [ ${#whole[@]} -gt 0 ]; then
        apt-get -qq -y --download-only install "${whole[@]}" >&2 || fail "cannot get: ${whole[*]}"
    fi
    if [ ${#alone[@]} -gt 0 ]; then
        (cd "$root/archives" && apt-get -qq download "${alone[@]}" >&2) || fail "cannot get: ${alone[*]}"
    fi
    unset APT_CONFIG
    for package in "$root"/archives/*.deb; do
        dpkg-deb -x "$package" "$folder"
        dpkg-deb -f "$package" Package Version | sed 's/^[^:]*: //' | paste -sd' ' >>"$folder/.packages"
    done
    rm -f "$root"/archives/*.deb
    LC_ALL=C sort -o "$folder/.packages" "$folder/.packages"
    echo "$*" >"$folder/.wanted"
}
