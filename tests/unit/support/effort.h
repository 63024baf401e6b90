/* effort - how far a long search goes. The release build makes the whole of it. A sanitizer watches
 * memory or threads, which every round uses alike, and makes a round five to ten times as long: its
 * builds make a part.
 */
#ifndef PD_TEST_SUPPORT_EFFORT_H
#define PD_TEST_SUPPORT_EFFORT_H

#define PD_TEST_IS_SANITIZED 0
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#undef PD_TEST_IS_SANITIZED
#define PD_TEST_IS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#undef PD_TEST_IS_SANITIZED
#define PD_TEST_IS_SANITIZED 1
#endif
#endif

#define PD_TEST_EFFORT(whole, sanitized) (PD_TEST_IS_SANITIZED ? (sanitized) : (whole))

#endif
