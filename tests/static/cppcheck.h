/* Macros of system headers that cppcheck needs to parse our files; it reads none of those headers. Never compiled. */
#define PROTOBUF_C_VERSION_NUMBER 1004001
#define PROTOBUF_C_MIN_COMPILER_VERSION 1000000
#define PROTOBUF_C__BEGIN_DECLS
#define PROTOBUF_C__END_DECLS
#define LIST_ENTRY(type)                                                                                               \
	struct {                                                                                                       \
		struct type *le_next, **le_prev;                                                                       \
	}
#define LIST_HEAD(name, type)                                                                                          \
	struct name {                                                                                                  \
		struct type *lh_first;                                                                                 \
	}
#define LIST_FOREACH(var, head, field) for ((var) = (head)->lh_first; (var) != NULL; (var) = (var)->field.le_next)
#define STAILQ_ENTRY(type)                                                                                             \
	struct {                                                                                                       \
		struct type *stqe_next;                                                                                \
	}
#define STAILQ_HEAD(name, type)                                                                                        \
	struct name {                                                                                                  \
		struct type *stqh_first, **stqh_last;                                                                  \
	}
#define TAILQ_ENTRY(type)                                                                                              \
	struct {                                                                                                       \
		struct type *tqe_next, **tqe_prev;                                                                     \
	}
#define TAILQ_HEAD(name, type)                                                                                         \
	struct name {                                                                                                  \
		struct type *tqh_first, **tqh_last;                                                                    \
	}
