# shellcheck shell=bash
# Debian packages as files: resolved by apt against an empty status file, as if
# nothing were installed, downloaded into a cache and only unpacked. No
# maintainer script runs and nothing on this machine is installed.
#
# To be sourced. Wants in $work a folder of the caller's.

debs=${XDG_CACHE_HOME:-$HOME/.cache}/rcompose/debs

# Options for apt, as for another release than the machine's own.
apt_options=()

# Extended regular expression of names that are never unpacked: what only
# maintainer scripts, service managers or the JIT of Postgres would need.
left_out='adduser|apt|apt-utils|debconf|debconf-2\.0|dpkg|gcc-[0-9]+-base|init-system-helpers|.*-perl|libc-l10n|libllvm.*|libpam-modules.*|libperl.*|libsemanage.*|libz3-.*|locales|locales-all|logrotate|lsb-base|mailcap|media-types|openssl|passwd|perl|perl-.*|postgresql|postgresql-.*common|sensible-utils|ssl-cert|sysvinit-utils|ucf|usrmerge|usr-is-merged'

# Once, before the others.
prepare_packages() {
  local tool lists
  for tool in apt-get dpkg-deb tar; do
    command -v "$tool" >/dev/null || { echo "needs $tool: this is for Debian and its relatives" >&2; return 1; }
  done
  mkdir -p "$debs" "$work/none/partial"
  : >"$work/status"
  shopt -s nullglob
  lists=(/var/lib/apt/lists/*Packages*)
  [[ ${#lists[@]} -gt 0 ]] || apt-get -qq update
}

# The packages and what they depend on, one a line: NAME=VERSION NAME_VERSION_ARCH.deb
resolve() {
  apt-get "${apt_options[@]}" -qq -y --print-uris --no-install-recommends \
    -o Dir::State::status="$work/status" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
    -o Dir::Cache::archives="$work/none" -o Debug::NoLocking=1 install "$@" |
    while read -r _ file _; do
      local name=${file%%_*} rest=${file#*_} version
      [[ $name =~ ^($left_out)$ ]] && continue
      version=${rest%_*}
      echo "$name=${version//%3a/:} $file"
    done | sort
}

# Downloads what the cache lacks of the lists on stdin, all in one go.
fetch() {
  local spec file missing=()
  while read -r spec file; do [[ -s $debs/$file ]] || missing+=("$spec"); done
  [[ ${#missing[@]} -gt 0 ]] || return 0
  echo "downloading ${#missing[@]} packages" >&2
  mkdir -p "$work/download"
  (cd "$work/download" && apt-get "${apt_options[@]}" -qq -o APT::Sandbox::User=root download "${missing[@]}")
  mv "$work"/download/*.deb "$debs/"
}

# Unpacks the list on stdin below ROOT, through the links of a merged /usr.
unpack() {
  local root=$1 file link
  mkdir -p "$root"/usr/{bin,sbin,lib,lib64}
  for link in bin sbin lib lib64; do ln -sfn "usr/$link" "$root/$link"; done
  while read -r _ file; do
    dpkg-deb --fsys-tarfile "$debs/$file" | tar -xp --keep-directory-symlink -C "$root"
  done
  # Links to /run, which only a maintainer script would make.
  rm -rf "$root"/var/{run,lock} "$root"/usr/share/{doc,info,lintian,locale,man,bash-completion,bug,menu,pixmaps,perl5}
}
