# Completion of p2pcopy in fish.
function __p2pcopy_complete
    set -l words (commandline -opc)
    set -l word (commandline -ct)
    set -l lines ($words[1] __complete $words[2..] "$word" 2>/dev/null)
    set -l head (string split \t -- $lines[1])
    set -l begun (string sub -s (math (string length -- "$head[2]") + 1) -- "$word")
    switch $head[1]
        case files
            printf '%s\n' "$head[2]"(__fish_complete_path "$begun")
        case directories
            printf '%s\n' "$head[2]"(__fish_complete_directories "$begun")
        case values
            printf '%s\n' "$head[2]"$lines[2..]
    end
end
complete -c p2pcopy -f -a '(__p2pcopy_complete)'
