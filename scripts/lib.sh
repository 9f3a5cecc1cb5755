# Shared by the other scripts; source it. Everything it makes lies in .venv and build/.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/.venv
build_dir=$root/build/product
stamp=$venv/oneflow-like.stamp
cd "$root"

say() { printf '== %s\n' "$*"; }
die() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# Prints what stands at the head of the calling script, if --help is among the arguments.
help_if_asked() {
  local argument
  for argument in "$@"; do
    case $argument in
      -h | --help)
        sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"
        exit 0
        ;;
    esac
  done
}

# The C++ files of ours, separated by NUL.
cpp_sources() {
  find actor benchmarks compiler device examples oneflow_like python sbp tests transport \
    \( -name '*.cc' -o -name '*.h' -o -name '*.cu' \) -print0
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "root is needed for: $*; run it as root, or install sudo"
  fi
}

# Installs the packages of scripts/debian-packages.txt that are missing, and nothing else.
install_debian_packages() {
  command -v dpkg-query >/dev/null || die "this script knows Debian 12 only; elsewhere install the" \
    "counterparts of scripts/debian-packages.txt and run: pip install ."
  local wanted have missing
  wanted=$(grep -v '^#' scripts/debian-packages.txt | sort)
  have=$(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' | awk '$1 == "ii" {print $2}' | sort -u)
  missing=$(comm -23 <(printf '%s\n' "$wanted") <(printf '%s\n' "$have"))
  [ -n "$missing" ] || return 0
  say "installing Debian packages:" $missing
  as_root apt-get update -q
  # --no-remove: Boost 1.81 and 1.74 exclude each other, and removing is the owner's decision.
  # shellcheck disable=SC2086
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
    --no-remove $missing || die "apt-get could not install: $missing; if it would have removed" \
    "libboost1.74-dev, remove that first (apt-get remove libboost1.74-dev) and run again"
}

# Makes .venv, with what a build without isolation needs.
make_venv() {
  if ! "$venv/bin/python" -c '' 2>/dev/null; then
    say "making .venv"
    "${PYTHON:-python3}" -m venv --clear "$venv"
  fi
  if ! cmp -s requirements-build.txt "$venv/requirements-build.txt"; then
    "$venv/bin/python" -m pip install -q -r requirements-build.txt
    cp requirements-build.txt "$venv/requirements-build.txt"
  fi
}

# What every build needs from the machine.
prepare() {
  install_debian_packages
  make_venv
}

# The product with its C++ tests, and all that the tests need.
build_for_tests() {
  install_product examples,test,check ON
}

# install_product EXTRAS TESTS(ON|OFF): builds incrementally in build/product, installs into .venv.
install_product() {
  export CCACHE_BASEDIR=${CCACHE_BASEDIR:-$root} CCACHE_NOHASHDIR=1
  export CMAKE_BUILD_PARALLEL_LEVEL=${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}
  local log=$root/build/product.log
  mkdir -p "$root/build"
  rm -f "$stamp"
  if ! "$venv/bin/python" -m pip install -v --no-build-isolation \
    --config-settings=build-dir="$build_dir" \
    --config-settings=cmake.define.OFL_BUILD_TESTS="$2" ".[$1]" 2>&1 |
    tee "$log" | show_progress; then
    grep -nE -A 4 'error:|FAILED:|CMake Error' "$log" | head -n 60 >&2 || true
    die "the build failed; the whole log is in build/product.log"
  fi
  current_stamp "$1" >"$stamp"
}

# Of a build's output, Ninja's counter in steps of a tenth. (Not awk: Debian's waits for full buffers.)
show_progress() {
  local line shown=0 tenth
  while IFS= read -r line; do
    if [[ $line =~ ^\ *\[([0-9]+)/([0-9]+)\] ]]; then
      tenth=$((10 * BASH_REMATCH[1] / BASH_REMATCH[2]))
      if [ $tenth -ne $shown ]; then
        printf '   %3d %% (%d of %d)\n' $((10 * tenth)) "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}"
        shown=$tenth
      fi
    fi
  done
}

# The product's sources and the interpreter, hashed; the extras are listed, so that a superset counts.
current_stamp() {
  printf '%s %s\n' "$("$venv/bin/python" scripts/source_hash.py)" "$1"
}

# is_installed EXTRA: whether .venv holds what the sources are now, with that extra.
is_installed() {
  [ -f "$stamp" ] || return 1
  local hash extras
  read -r hash extras <"$stamp"
  [ "$hash" = "$("$venv/bin/python" scripts/source_hash.py)" ] && [[ ",$extras," == *",$1,"* ]]
}
