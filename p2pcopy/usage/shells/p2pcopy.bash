# Completion of p2pcopy in bash 4.4 or newer.
_p2pcopy() {
    local rest=${COMP_LINE:0:COMP_POINT} breaks=${COMP_WORDBREAKS//[!=:]/} words=() kind kept value word i
    # bash parts words at "=", "@" and ":" as well: put together again what stands together.
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${rest#"${rest%%[![:space:]]*}"}
        [[ $i == 0 || $word != "$rest" ]] && words+=("")
        ((i == COMP_CWORD)) || word=${COMP_WORDS[i]}
        words[-1]+=$word
        rest=${rest#"${rest%%[![:space:]]*}"}
        rest=${rest#"$word"}
    done
    # Of the whole word bash replaces what comes after the last of them, but from "@" on with it.
    word=${words[-1]}
    local begun=$word
    [[ $breaks ]] && begun=${word##*[$breaks]}
    COMPREPLY=()
    {
        IFS=$'\t' read -r kind kept
        while IFS=$'\t' read -r value _; do
            value=$kept$value
            COMPREPLY+=("$(printf %q "${value#"${word%"$begun"}"}")")
        done
    } < <("$1" __complete "${words[@]:1}" 2>/dev/null)
    case $kind in
        files)
            compopt -o filenames -o default
            # By default readline takes what follows "@" for the name of a host.
            [[ $kept == *@ ]] && mapfile -t COMPREPLY < <(compgen -P @ -f -- "${begun#@}")
            ;;
        directories) compopt -o dirnames ;;
    esac
}
complete -F _p2pcopy p2pcopy
