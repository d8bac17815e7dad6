/* One line per change of state on stderr, journald-friendly: "<6>text key=value". Event id first, no personal data.
 * error: somebody must act. warn: we coped. info: life cycle. debug: the rest. Only programs call this. */
#ifndef LIB_LOG_H
#define LIB_LOG_H

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* program: borrowed name for the prefix when stderr is a terminal. Level from REENTRY_LOG (error|warn|info|debug), else info. */
void log_init(const char *program);
void log_set_level(enum log_level level);
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

#endif
