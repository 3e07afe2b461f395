#compdef p2pcopy
# Completion of p2pcopy in zsh.
_p2pcopy() {
    local -a lines values
    local kind kept line
    lines=("${(@f)$("$words[1]" __complete "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
    kind=${lines[1]%%$'\t'*}
    kept=${lines[1]#*$'\t'}
    [[ -n $kept ]] && compset -P "${(b)kept}"
    case $kind in
        files) _files ;;
        directories) _files -/ ;;
        values)
            for line in "${(@)lines[2,-1]}"; do
                values+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
            done
            _describe p2pcopy values
            ;;
    esac
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _p2pcopy "$@"
else
    compdef _p2pcopy p2pcopy
fi
