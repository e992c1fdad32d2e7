/* E-mail address: what counts as one, and as one and the same.
 *
 * A new address is one that an HTML e-mail field takes (https://html.spec.whatwg.org, "valid e-mail
 * address"): ASCII alone. Browsers send a domain with other letters in its xn-- form (punycode), so
 * such a domain has one spelling here, too. In ASCII nothing is left but upper and lower case that
 * two spellings of one address could differ in, and those are the same to the tables. Other letters
 * before the @, composed or not, would be as many addresses as there are spellings; and a domain
 * with a dot at its end is the domain without it.
 *
 * Old events may have other addresses. They are applied as they are. */
#include "journeys.h"
#include "tables.h"
#include <string.h>

#define LOCAL_MAX 64 /* RFC 5321, 4.5.3.1 */
#define DOMAIN_MAX 253
#define LABEL_MAX 63

static _Bool is_letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static _Bool is_local(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!is_letter_or_digit(text[i]) && !strchr(".!#$%&'*+/=?^_`{|}~-", text[i]))
            return 0;
    return length >= 1 && length <= LOCAL_MAX;
}

static _Bool is_label(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!is_letter_or_digit(text[i]) && text[i] != '-')
            return 0;
    return length >= 1 && length <= LABEL_MAX && text[0] != '-' && text[length - 1] != '-';
}

static _Bool is_domain(const char *text)
{
    if (strlen(text) > DOMAIN_MAX)
        return 0;
    for (;;) {
        size_t length = strcspn(text, ".");
        if (!is_label(text, length))
            return 0;
        if (!text[length])
            return 1;
        text += length + 1;
    }
}

int email_check(struct journey *j, const char *email)
{
    const char *at = strrchr(email, '@');
    if (at && is_local(email, (size_t)(at - email)) && is_domain(at + 1))
        return 0;
    return journey_refuse(j, REFUSED_INVALID_REQUEST,
                          "email: must be an ASCII address such as ada@example.org, as a web form "
                          "takes it; a domain with other letters in its xn-- form, and without a "
                          "dot at its end");
}
