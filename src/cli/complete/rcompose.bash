# bash completion for rcompose: asks the program itself.
_rcompose() {
  local answer line directive
  COMPREPLY=()
  mapfile -t answer < <("${COMP_WORDS[0]}" __completeNoDesc "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
  [[ ${#answer[@]} -gt 0 ]] || return 0
  directive=${answer[-1]#:}
  unset 'answer[-1]'
  for line in "${answer[@]}"; do COMPREPLY+=("$(printf '%q' "$line")"); done
  if [[ ${#COMPREPLY[@]} -eq 0 && $directive -eq 0 ]]; then compopt -o default; fi
}
complete -F _rcompose rcompose
