"""Write the script that completes the program's commands in a shell.

Runs and names are completed by the shell alone, from the names of the folders under the run root:
starting Python would take longer than a person waits for the Tab key.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import shtab

_RUNS = {"bash": "_hpc_complete_runs", "zsh": "_hpc_complete_runs", "tcsh": "d"}
_NAMES = {"bash": "_hpc_complete_names", "zsh": "_hpc_complete_names", "tcsh": ""}
_BY_METAVAR = {
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
"""
_BASH = r"""
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
_PREAMBLE = {"bash": _COMMON + _BASH, "zsh": _COMMON + _ZSH}


def write_script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return the completion script of a parser with all its verbs, for bash, zsh or tcsh."""
    for action in _actions(parser):
        kind = _BY_METAVAR.get(str(action.metavar))
        if kind is None and action.type is Path:
            kind = shtab.FILE
        if kind is not None:
            setattr(action, "complete", kind)  # noqa: B010 - shtab looks for this attribute
    return shtab.complete(parser, shell, preamble=_PREAMBLE.get(shell, ""))


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the actions of a parser and of its subparsers."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for subparser in action.choices.values():
                yield from _actions(subparser)
