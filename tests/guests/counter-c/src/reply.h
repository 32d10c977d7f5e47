/* A short answer in plain text. */
#pragma once

#include "text.h"

/* `allow` is the header of that name, or null. What fails fails because the asker is gone. */
void reply(wasi_http_types_own_response_outparam_t outparam, uint16_t status, const char *allow, text_t body);
