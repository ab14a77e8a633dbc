"""Write the script that completes the program's commands in a shell.

Runs and names are completed by the shell alone, from the names of the folders under the run root:
starting Python would take longer than a person waits for the Tab key.
"""

import argparse
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import shtab

# By shell, what completes an argument there, as shtab takes it.
_Kind = Mapping[str, str | dict[str, str]]


def _function(name: str, tcsh: str = "") -> _Kind:
    """Return what shtab takes for a function of the preambles, which tcsh does not have."""
    return {"bash": name, "zsh": name, "tcsh": tcsh}


_CONFIGS = _function("_hpc_complete_configs", "f")
_SETTINGS = _function("_hpc_complete_settings")
# Its names are those of accounts, partitions, variables and the like.
_INIT = "init"
_OF_INIT: Mapping[str, _Kind] = {
    "--source": shtab.FILE,
    "--api-key-file": shtab.FILE,
    "--template": shtab.FILE,
    "--executor": _function("_hpc_complete_executors"),
    "--classifier": _function("_hpc_complete_classifiers"),
    "folder": shtab.DIRECTORY,
}
_RUNS = _function("_hpc_complete_runs", "d")
_NAMES = _function("_hpc_complete_names")
_BY_METAVAR: Mapping[str, _Kind] = {
    "CONFIG": _CONFIGS,
    "a.b=value": _SETTINGS,
    "FOLDER": shtab.DIRECTORY,
    "RUN": _RUNS,
    "[RUN] INDEX": _RUNS,
    **dict.fromkeys(("NAME", "NAME_A", "NAME_B", "LABELS"), _NAMES),
}

# What both shells understand. A folder's name that could mean something to a shell is left out.
_COMMON = r"""
_hpc_word_value() {  # prints the value of an option on the command line, if it is there
  local option=$1 number word
  shift
  while (($#)); do
    word=$1
    shift
    case $word in
      "$option") [[ $1 == = ]] && shift; printf '%s' "$1"; return ;;
      "$option"=*) printf '%s' "${word#*=}"; return ;;
    esac
  done
}
_hpc_run_root() {  # prints the run root that the command line names
  local root config line
  root=$(_hpc_word_value --run-root "$@")
  config=$(_hpc_word_value --config "$@")
  if [[ -z $root && -r $config && -f $config ]]; then
    while IFS= read -r line; do
      if [[ $line =~ ^[[:space:]]+run_root:[[:space:]]*([^#]*[^#[:space:]]) ]]; then
        root=${line#*run_root:}
        root=${root%%#*}
        root=${root//[\"\']/}
        while [[ $root == [[:space:]]* ]]; do root=${root#?}; done
        while [[ $root == *[[:space:]] ]]; do root=${root%?}; done
      fi
    done <"$config"
  fi
  [[ -n $root ]] || root=runs
  case $root in '~'/*) root=$HOME/${root#'~/'} ;; esac
  printf '%s' "$root"
}
_hpc_list_runs() {  # prints the ids, or the names, of runs that begin with a word, a line each
  local kind=$1 begin=$2 root folder id name seen=$'\n'
  shift 2
  [[ -n $ZSH_VERSION ]] && setopt local_options null_glob
  root=$(_hpc_run_root "$@")
  [[ -d $root ]] || return
  for folder in "$root"/*T*-*-*; do
    id=${folder##*/}
    name=$id
    if [[ $kind == names ]]; then
      name=${id#*-}
      name=${name%-*}
    fi
    [[ $name == "$begin"* && $seen != *$'\n'"$name"$'\n'* ]] || continue
    [[ $id =~ ^[0-9]{8}T[0-9]{6}-[A-Za-z0-9_]+-[0-9a-f]{8}$ ]] || continue
    [[ $kind == names ]] && seen+=$name$'\n'
    printf '%s\n' "$name"
  done
}
_hpc_list_values() {  # prints the values that a key may have, a line each
  local line
  while IFS= read -r line; do
    case $line in "$1 "?*) printf '%s\n' ${=line#* } ;; esac
  done <<<"$_hpc_settings"
}
"""
_BASH = r"""
_hpc_matching() {  # prints the lines that begin with a word
  local line
  while IFS= read -r line; do
    [[ -n $line && $line == "$1"* ]] && printf '%s\n' "$line"
  done
}
_hpc_complete_executors() {
  _hpc_list_values cluster.executor | _hpc_matching "$1"
}
_hpc_complete_classifiers() {
  _hpc_list_values classifier.type | _hpc_matching "$1"
}
_hpc_complete_configs() {
  local path
  compgen -d -- "$1"
  compgen -f -- "$1" | while IFS= read -r path; do
    case $path in *.yaml | *.yml) printf '%s\n' "$path" ;; esac
  done
}
_hpc_complete_settings() {
  local key=${1%%=*} value
  if [[ $1 != *=* ]]; then
    printf '%s\n' "$_hpc_settings" | while IFS= read -r key; do
      printf '%s\n' "${key%% *}="
    done | _hpc_matching "$1"
    return
  fi
  # Readline replaces only what follows the last of these.
  [[ $COMP_WORDBREAKS == *=* ]] && local before= || local before=$key=
  _hpc_list_values "$key" | _hpc_matching "${1#*=}" | while IFS= read -r value; do
    printf '%s\n' "$before$value"
  done
}
_hpc_complete() {  # puts words together again that bash has taken apart at each =
  local pieces=("${COMP_WORDS[@]:0:COMP_CWORD+1}") words=() piece glue=
  for piece in "${pieces[@]}"; do
    if [[ $piece == = || -n $glue ]] && ((${#words[@]})); then
      words[${#words[@]}-1]+=$piece
    else
      words+=("$piece")
    fi
    [[ $piece == = ]] && glue=yes || glue=
  done
  local last=$((${#words[@]} - 1))
  if [[ ${words[last]} == --*=* ]]; then
    piece=${words[last]}
    words[last]=${piece%%=*}
    words+=("${piece#*=}")
    ((last += 1))
  fi
  local COMP_WORDS=("${words[@]}")
  local COMP_CWORD=$last
  _shtab_hpc "$1" "${words[last]}" "${words[last - 1]}"
  # A key is no file, whose = would be quoted, and its value follows without a space.
  if [[ ${words[last - 1]} == --set && ${words[last]} != *=* ]]; then
    compopt +o filenames -o nospace 2>/dev/null
  fi
}
_hpc_complete_names() {
  _hpc_list_runs names "$1" "${COMP_WORDS[@]}"
}
_hpc_complete_runs() {
  _hpc_complete_names "$1"
  _hpc_list_runs ids "$1" "${COMP_WORDS[@]}"
  [[ $1 == */* ]] && compgen -d -- "$1"
}
"""
_ZSH = r"""
_hpc_complete_executors() {
  compadd -- ${(f)"$(_hpc_list_values cluster.executor)"}
}
_hpc_complete_classifiers() {
  compadd -- ${(f)"$(_hpc_list_values classifier.type)"}
}
_hpc_complete_configs() {
  _files -g '*.(yaml|yml)'
}
_hpc_complete_settings() {
  local -a found
  if compset -P '*='; then
    found=(${(f)"$(_hpc_list_values ${${IPREFIX%=}##*=})"})
    compadd -a found
  else
    found=(${${(f)_hpc_settings}%% *})
    compadd -S = -a found
  fi
}
_hpc_complete_names() {
  local -aU found
  found=("${(@f)$(_hpc_list_runs names "" "${words[@]}")}")
  compadd -a found
}
_hpc_complete_runs() {
  local -aU found
  _hpc_complete_names
  found=("${(@f)$(_hpc_list_runs ids "" "${words[@]}")}")
  compadd -a found
  [[ $PREFIX == */* ]] && _files -/
}
"""
# zsh splits a value into words only where it is asked to.
_PREAMBLE = {"bash": _COMMON.replace("${=", "${") + _BASH, "zsh": _COMMON + _ZSH}
_AFTER = {"bash": "\ncomplete -o filenames -F _hpc_complete hpc\n"}
_PLAIN = re.compile(r"[A-Za-z0-9_.-]+")


def write_script(
    parser: argparse.ArgumentParser, shell: str, settings: Mapping[str, tuple[str, ...]]
) -> str:
    """Return the completion script of a parser with all its verbs.

    Args:
        parser: the parser.
        shell: bash, zsh or tcsh.
        settings: the keys of a configuration, with the values of those that have only some.
    """
    for verb, action in _actions(parser):
        kind = _kind(verb, action)
        if kind is not None:
            setattr(action, "complete", kind)  # noqa: B010 - shtab looks for this attribute
    preamble = _describe_settings(settings) + _PREAMBLE[shell] if shell in _PREAMBLE else ""
    return shtab.complete(parser, shell, preamble=preamble) + _AFTER.get(shell, "")


def _kind(verb: str, action: argparse.Action) -> _Kind | None:
    """Return what completes an argument; None if nothing does, or its choices."""
    name = action.option_strings[0] if action.option_strings else action.dest
    if verb == _INIT:
        return _OF_INIT.get(name)
    if name == "--config":
        return _CONFIGS
    kind = _BY_METAVAR.get(str(action.metavar))
    return shtab.FILE if kind is None and action.type is Path else kind


def _describe_settings(settings: Mapping[str, tuple[str, ...]]) -> str:
    """Return a shell variable with a line for each key and its values.

    A value that means something to a shell is left out.
    """
    lines = [
        " ".join([key, *(value for value in values if _PLAIN.fullmatch(value))])
        for key, values in settings.items()
        if _PLAIN.fullmatch(key)
    ]
    return "_hpc_settings='" + "\n".join(lines) + "'\n"


def _actions(
    parser: argparse.ArgumentParser, verb: str = ""
) -> Iterator[tuple[str, argparse.Action]]:
    """Yield the actions of a parser and of its subparsers, each with its verb."""
    for action in parser._actions:
        yield verb, action
        if isinstance(action, argparse._SubParsersAction):
            for name, subparser in action.choices.items():
                yield from _actions(subparser, name)
