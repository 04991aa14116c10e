# Reads a help page: prints a line for each option, "--name" and the choices of its value, if any.
#
# An entry begins with two spaces and a name; its explanation goes on in deeper lines. Choices are
# one word, "a|b|c", with or without a colon after it.

function finish(    i, count, words, line) {
    if (name == "")
        return
    line = name
    count = split(text, words, " ")
    for (i = 1; i <= count; i++)
        if (words[i] ~ /^[a-z0-9_.-]+(\|[a-z0-9_.-]+)+:?$/) {
            sub(/:$/, "", words[i])
            gsub(/\|/, " ", words[i])
            line = line " " words[i]
        }
    print line
    name = ""
}

/^  --[a-z]/ { finish(); name = $1; text = $0; next }
/^   +[^ ]/ { text = text " " $0; next }
{ finish() }
END { finish() }
